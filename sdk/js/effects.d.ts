// Generated from sdk/wit by `sandbook-pack generate`; a test compares.

import type { Container } from "./index.js";

/** What kind of thing a run is about. */
export type TargetKind = "container" | "service" | "host" | "none";

export type ContainerStatus = "created" | "running" | "paused" | "restarting" | "removing" | "exited" | "dead";

export type HealthStatus = "none" | "starting" | "healthy" | "unhealthy";

export interface ContainerState {
  status: ContainerStatus;
  health: HealthStatus;
  /** Of the last exit; absent while it never exited. */
  exitCode?: number;
  oomKilled: boolean;
  /** What the engine says went wrong at the last start; empty if nothing. */
  error: string;
  startedAt?: string;
  finishedAt?: string;
  /** Restarts by the engine's restart policy since creation. */
  restartCount: number;
}

/** What a change left behind. */
export interface Change {
  /** False when it was already so and nothing was done. */
  changed: boolean;
  state: ContainerState;
}

/** Containers of the run's Docker host. Reads need the manifest's request; changes also the operator's policy. */
export namespace docker {

  interface ContainerFilter {
    /** Also those that do not run. Default: only running ones. */
    all?: boolean;
    /** Shell-style pattern on the name, such as `web-*`. */
    name?: string;
    /** `key` or `key=value`; all must hold. */
    labels?: Array<string>;
    /** Compose project. */
    project?: string;
    /** Compose service. */
    service?: string;
  }

  interface ContainerSummary {
    name: string;
    id: string;
    host: string;
    image: string;
    status: ContainerStatus;
    /** As Docker words it, such as `Up 3 hours (healthy)`. */
    statusText: string;
    project?: string;
    service?: string;
  }

  interface HealthProbe {
    startedAt: string;
    exitCode: number;
    /** At most 4 KiB. */
    output: string;
  }

  interface Mount {
    kind: string;
    source: string;
    destination: string;
    writable: boolean;
  }

  /** Zero means: no limit. */
  interface Limits {
    memoryBytes: number;
    memorySwapBytes: number;
    cpus: number;
    pids: number;
  }

  interface ContainerDetails {
    name: string;
    id: string;
    host: string;
    image: string;
    imageId: string;
    state: ContainerState;
    /** The engine's last health probes, oldest first; at most 5. */
    healthLog: Array<HealthProbe>;
    createdAt: string;
    command: Array<string>;
    /** Names only: values of environment variables never cross. */
    environmentNames: Array<string>;
    labels: Record<string, string>;
    project?: string;
    service?: string;
    restartPolicy: string;
    networkMode: string;
    networks: Array<string>;
    mounts: Array<Mount>;
    limits: Limits;
    hasHealthcheck: boolean;
  }

  interface Stats {
    /** Of one core: 150.0 is one and a half cores. */
    cpuPercent: number;
    memoryBytes: number;
    /** Zero when the container has no limit. */
    memoryLimitBytes: number;
    pids: number;
    networkReceivedBytes: number;
    networkSentBytes: number;
    blockReadBytes: number;
    blockWrittenBytes: number;
    /** Periods in which the CPU quota held it back, since start. */
    throttledPeriods: number;
  }

  interface Processes {
    titles: Array<string>;
    /** At most 500 rows. */
    rows: Array<Array<string>>;
    /** Processes in state Z. */
    zombies: number;
  }

  type Dependency = "shares-network" | "depends-on" | "volumes-from";

  interface Dependent {
    name: string;
    id: string;
    why: Dependency;
    status: ContainerStatus;
  }

  interface EventFilter {
    /** Only of this container. Default: of the whole host. */
    container?: Container;
    /** How far back; default 10 minutes, at most 24 hours. */
    sinceMs?: number;
    /** Default 100, at most 500; the newest are kept. */
    limit?: number;
  }

  interface Event {
    at: string;
    /** Such as `die`, `oom`, `health_status: unhealthy`. */
    action: string;
    container: string;
    exitCode?: number;
  }

  interface StopOptions {
    /** How long the container gets before it is killed; default its own setting, at most 5 minutes. */
    graceMs?: number;
  }

  interface KillOptions {
    /** Default `KILL`. */
    signal?: string;
  }

  interface ExecOptions {
    /** Default 10 seconds, at most 5 minutes. */
    timeoutMs?: number;
    user?: string;
    workdir?: string;
  }

  interface ExecResult {
    exitCode: number;
    /** At most 64 KiB. */
    stdout: string;
    /** At most 64 KiB. */
    stderr: string;
    truncated: boolean;
  }

  /** What is absent stays as it is. */
  interface Resources {
    memoryBytes?: number;
    /** Memory plus swap; -1 for no limit. */
    memorySwapBytes?: number;
    cpus?: number;
    pids?: number;
  }

  type MountKind = "bind" | "volume" | "tmpfs";

  interface NewMount {
    kind: MountKind;
    /** Path on the host, or name of the volume; absent for tmpfs. */
    source?: string;
    destination: string;
    /** Default true. */
    writable?: boolean;
  }

  /** What is absent stays as it is. Labels of compose and of Sandbook itself stay whatever is said, so that the subject does. */
  interface RecreateOptions {
    /** An image that is on the host already. What the container has from its old image it then has from the new one. */
    image?: string;
    /** Variables to add or replace. They are recorded: name a secret by file, never by value. */
    environment?: Record<string, string>;
    removeEnvironment?: Array<string>;
    command?: Array<string>;
    /** Added, or in the place of the mount at the same destination. */
    mounts?: Array<NewMount>;
    labels?: Record<string, string>;
    removeLabels?: Array<string>;
    limits?: Resources;
    /** Shares the network of that container; only for one that shares another's already, such as one that is gone. */
    networkOf?: Container;
    /** How long the old container gets before it is killed; default its own setting, at most 5 minutes. */
    graceMs?: number;
    /**
     * How long the new one may take to be healthy, or without a health check to run for 3 seconds; default 60 seconds, at
     * most 5 minutes.
     */
    healthyWithinMs?: number;
  }

  interface Recreated {
    name: string;
    /** The new instance. */
    id: string;
    /** The one it replaced, which is gone. */
    oldId: string;
    image: string;
    state: ContainerState;
  }

  interface RemoveOptions {
    /** Kills it first when it runs. Default: a running one is a conflict. */
    force?: boolean;
  }

  interface Removed {
    name: string;
    id: string;
  }

  interface ScaleOptions {
    /** How long a container that goes gets before it is killed; default its own setting, at most 5 minutes. */
    graceMs?: number;
  }

  interface Scaled {
    /** False when it had that many already. */
    changed: boolean;
    before: number;
    after: number;
    /** Names of containers; empty for a swarm service, which makes them when it can. */
    created: Array<string>;
    removed: Array<string>;
  }

  interface ConnectOptions {
    /** Further names on that network. */
    aliases?: Array<string>;
    ipv4Address?: string;
  }

  interface NetworkChange {
    /** False when it was already so. */
    changed: boolean;
    /** Names of the networks it is connected to afterwards. */
    networks: Array<string>;
  }

  interface ImageFilter {
    /** Only those without a tag (true) or with one (false). */
    dangling?: boolean;
    /** Only those no container uses (true) or one does (false). */
    unused?: boolean;
    /** Shell-style pattern on a tag, such as `shop/*`. */
    tag?: string;
  }

  interface Image {
    id: string;
    tags: Array<string>;
    sizeBytes: number;
    createdAt: string;
    /** Containers made from it, running or not. */
    containers: number;
  }

  interface UseOfDisk {
    /** How many there are. */
    count: number;
    /** How many of them are in use. */
    inUse: number;
    sizeBytes: number;
    /** What removing those not in use would give back. */
    reclaimableBytes: number;
  }

  interface LogFile {
    container: string;
    sizeBytes: number;
  }

  interface DiskUse {
    images: UseOfDisk;
    /** Their writable layers. */
    containers: UseOfDisk;
    volumes: UseOfDisk;
    buildCache: UseOfDisk;
    /** The ten largest container logs, largest first; empty where the engine's files are not within reach. */
    logs: Array<LogFile>;
  }

  /** Volumes are never pruned. */
  interface PruneImagesOptions {
    /**
     * Also tagged ones that no container uses. Then `older-than-ms` must be given, because the image of the last release is
     * one of them.
     */
    unused?: boolean;
    /** Only those made longer ago; at least an hour where `unused` is true. */
    olderThanMs?: number;
  }

  interface PruneCacheOptions {
    /** Only what was not used for as long. */
    olderThanMs?: number;
    /** Leaves that much of what was used last. */
    keepBytes?: number;
  }

  interface Pruned {
    /** How many items are gone. */
    deleted: number;
    freedBytes: number;
  }

  type FileChangeKind = "changed" | "added" | "deleted";

  interface FileChange {
    path: string;
    kind: FileChangeKind;
  }

  interface FileChanges {
    /** At most 1,000, in the engine's order. */
    changes: Array<FileChange>;
    truncated: boolean;
  }

  /** Lists containers of the run's host, by name. */
  function listContainers(filter?: ContainerFilter): Array<ContainerSummary>;

  /** Everything worth knowing of one container. Values of environment variables are omitted. */
  function inspectContainer(container: Container): ContainerDetails;

  /** One sample of a running container's resource use. */
  function containerStats(container: Container): Stats;

  /** Processes inside a running container. */
  function containerProcesses(container: Container): Processes;

  /** Who stops working when this container restarts: sharers of its network, compose `depends_on`, `volumes-from`. */
  function dependents(container: Container): Array<Dependent>;

  /** What the engine reported lately, oldest first. */
  function recentEvents(filter?: EventFilter): Array<Event>;

  /** Starts a container that does not run. */
  function startContainer(container: Container): Change;

  /** Stops a running container. */
  function stopContainer(container: Container, options?: StopOptions): Change;

  /** Restarts a container, running or not. */
  function restartContainer(container: Container, options?: StopOptions): Change;

  /** Sends a signal to a running container. */
  function killContainer(container: Container, options?: KillOptions): Change;

  /** Freezes every process of a running container. */
  function pauseContainer(container: Container): Change;

  /** Thaws a paused container. */
  function unpauseContainer(container: Container): Change;

  /** Runs a program inside a running container: an argument vector, never a shell string. */
  function exec(container: Container, argv: Array<string>, options?: ExecOptions): ExecResult;

  /** Changes limits of a container while it runs. */
  function updateResources(container: Container, resources?: Resources): Change;

  /** What differs in a container's files from its image. */
  function containerChanges(container: Container): FileChanges;

  /** Images of the run's host, the largest first; at most 500. */
  function listImages(filter?: ImageFilter): Array<Image>;

  /** What takes the disk of the run's host, as far as Docker knows. */
  function diskUsage(): DiskUse;

  /**
   * Replaces a container by a new instance with the same configuration but for what is named here. The old one is stopped, kept
   * under another name until the new one is healthy, and comes back if it is not. Anonymous volumes, networks with their
   * aliases and fixed addresses go over to the new one.
   */
  function recreateContainer(container: Container, options?: RecreateOptions): Recreated;

  /** Removes a container. Its volumes stay, anonymous ones too. */
  function removeContainer(container: Container, options?: RemoveOptions): Removed;

  /**
   * Sets how many containers a compose service (`project/service`) or swarm service has, 1 to 100: made after one that is there,
   * with the next numbers; the highest numbers go first.
   */
  function scaleService(service: string, replicas: number, options?: ScaleOptions): Scaled;

  /** Connects a container to a network, by the network's name. */
  function connectNetwork(container: Container, network: string, options?: ConnectOptions): NetworkChange;

  /** Disconnects a container from a network, by the network's name. */
  function disconnectNetwork(container: Container, network: string): NetworkChange;

  /** Removes images without a tag that nothing uses, and if asked, others that no container uses. */
  function pruneImages(options?: PruneImagesOptions): Pruned;

  /** Removes build cache. */
  function pruneBuildCache(options?: PruneCacheOptions): Pruned;
}

/** What containers wrote to stdout and stderr. Filtered and paged on the host side. */
export namespace logs {

  interface TailOptions {
    /** Default 100, at most 5,000. */
    lines?: number;
    /** Only lines younger than this. */
    sinceMs?: number;
  }

  interface Page {
    /** Lines joined with a line break; at most 256 KiB, the newest are kept. */
    text: string;
    lines: number;
    truncated: boolean;
  }

  interface SearchOptions {
    /** How far back; default 1 hour, at most 7 days. */
    sinceMs?: number;
    /** Default 100, at most 1,000 matches a page. */
    limit?: number;
    /** Lines around each match; default 0, at most 20. */
    context?: number;
    /** Where the previous page ended. */
    cursor?: string;
  }

  interface Match {
    at: string;
    line: string;
    context: Array<string>;
  }

  interface Matches {
    found: Array<Match>;
    /** Present when there is more. */
    cursor?: string;
    /** Lines looked at for this page. */
    scanned: number;
  }

  interface LokiOptions {
    /** How far back; default 1 hour, at most 7 days. */
    sinceMs?: number;
    /** Default 100, at most 1,000 lines; the newest are kept. */
    limit?: number;
  }

  interface LokiLine {
    at: string;
    line: string;
    labels: Record<string, string>;
  }

  interface LokiPage {
    /** Oldest first. */
    lines: Array<LokiLine>;
    /** There were more. */
    truncated: boolean;
  }

  interface Truncated {
    /** What it gave back. */
    freedBytes: number;
  }

  /** The last lines of a container's log. */
  function tailContainer(container: Container, options?: TailOptions): Page;

  /** Lines that match a regular expression (linear time, no backtracking), oldest first. */
  function searchContainer(container: Container, pattern: string, options?: SearchOptions): Matches;

  /** A log query (LogQL) to the Loki the operator configured. */
  function queryLoki(logql: string, options?: LokiOptions): LokiPage;

  /**
   * Empties the file of a container's log (driver `json-file`). What is in it is lost, so a policy must name the container: one
   * that permits it on a pattern, a service or a label does not suffice.
   */
  function truncateContainerLog(container: Container): Truncated;
}

/** The Prometheus HTTP API the operator configured. */
export namespace metrics {

  interface Sample {
    labels: Record<string, string>;
    value: number;
    at: string;
  }

  interface Series {
    labels: Record<string, string>;
    /** Seconds since 1970 and value, oldest first. */
    points: Array<[number, number]>;
  }

  interface Range {
    /** How far back; at most 31 days. */
    sinceMs: number;
    /** Distance of points; at least 1 second, at most 11,000 points. */
    stepMs: number;
  }

  /** An instant query, evaluated now; at most 1,000 samples. */
  function query(promql: string): Array<Sample>;

  /** A range query that ends now; at most 1,000 series. */
  function queryRange(promql: string, range: Range): Array<Series>;
}

/** Probes from the daemon's place in the network. Each can carry data out, so the operator lists the hosts. */
export namespace net {

  interface ProbeOptions {
    /** Default 5 seconds, at most 60. */
    timeoutMs?: number;
    /** Default: any of 200 to 299. */
    expectStatus?: number;
    /** A regular expression the first 64 KiB of the body must match. */
    expectBody?: string;
  }

  interface ProbeResult {
    ok: boolean;
    /** Absent when no answer came. */
    status?: number;
    durationMs: number;
    /** Why it is not ok; empty if it is. */
    reason: string;
  }

  interface CheckOptions {
    /** Default 3 seconds, at most 60. */
    timeoutMs?: number;
  }

  interface CheckResult {
    open: boolean;
    durationMs: number;
    reason: string;
  }

  interface LookupResult {
    addresses: Array<string>;
    durationMs: number;
  }

  /** A GET that asks one question: is it well? An unreachable host is an answer, not an error. */
  function httpProbe(url: string, options?: ProbeOptions): ProbeResult;

  /** Does something accept connections there? */
  function tcpCheck(host: string, port: number, options?: CheckOptions): CheckResult;

  /** Addresses of a name, by the daemon's resolver. */
  function dnsLookup(name: string, options?: CheckOptions): LookupResult;
}

/** HTTP to hosts the operator lists. Redirects are followed only to listed hosts. */
export namespace http {

  interface GetOptions {
    headers?: Record<string, string>;
    /** Default 10 seconds, at most 60. */
    timeoutMs?: number;
  }

  type Method = "get" | "head" | "post" | "put" | "patch" | "delete";

  interface RequestOptions {
    headers?: Record<string, string>;
    /** At most 256 KiB. */
    body?: string;
    /** Default 10 seconds, at most 60. */
    timeoutMs?: number;
    /** Declares that repeating it does no harm: after a crash it is sent again instead of asking a person. */
    idempotent?: boolean;
  }

  interface Response {
    status: number;
    headers: Record<string, string>;
    /** Text; at most 900 KiB. */
    body: string;
    truncated: boolean;
  }

  /** A GET; any status is an answer. */
  function get(url: string, options?: GetOptions): Response;

  /** Any method. It can carry data out whatever the method is, so the operator lists the hosts. */
  function request(method: Method, url: string, options?: RequestOptions): Response;
}

/** Messages to people, over channels the operator configured. */
export namespace notify {

  type Severity = "info" | "warning" | "critical";

  interface Message {
    /** Default: the operator's escalation channel. */
    channel?: string;
    title: string;
    /** At most 16 KiB. */
    text: string;
    /** Default `info`. */
    severity?: Severity;
    /** Messages with the same key are one incident; default: one per run and slot. */
    dedupKey?: string;
  }

  interface Receipt {
    channel: string;
    dedupKey: string;
  }

  /** Delivered at least once, with a deduplication key. */
  function send(message: Message): Receipt;
}

/** The runbook's own memory, kept between runs of the same runbook. */
export namespace state {

  /** The value of a key, if there is one. */
  function get(key: string): string | undefined;

  /** Sets a key; keys up to 256 bytes, values up to 64 KiB, 1,000 keys a runbook. */
  function put(key: string, value: string): void;

  /** Sets a key if it still has the expected value (absent: if it is not set). False if it has not. */
  function compareAndPut(key: string, expected: string, value: string): boolean;
}

/** Recorded time. Replays see the recorded one. */
export namespace clock {

  /** Milliseconds since 1970. */
  function now(): number;

  /** Waits; waiting costs nothing and does not count against the run's wall time. At most 7 days. */
  function sleep(durationMs: number): void;
}

export namespace random {

  /** A random number, recorded. */
  function randomU64(): bigint;
}

/** Notes. They take no slot and do not count against the effect limit; 1 MiB of them a run. */
export namespace log {

  type Level = "debug" | "info" | "warn" | "error";

  /** A line in the run's record. */
  function log(level: Level, message: string): void;

  /** What is being done now, for whoever watches; percent 0 to 100. */
  function progress(message: string, percent?: number): void;

  /** Keeps a text with the run, to be read before anyone acts; at most 256 KiB. */
  function attachEvidence(name: string, text: string): void;
}

/** Questions to a person. The run waits for the answer at no cost, across restarts too. */
export namespace human {

  interface AskSettings {
    /** Shown below the question; at most 16 KiB. Longer texts belong to `log.attach-evidence`, which is shown as well. */
    details?: string;
    /** The answer when nobody gives one in time; one of the options. Default: then it is `denied`. */
    fallback?: string;
    /** Milliseconds to answer in, 1 s to 7 days; default: the operator's `[approvals] expiry`, 30 minutes. */
    timeoutMs?: number;
  }

  interface Answer {
    /** One of the options. */
    option: string;
    /** Who said it. */
    by: string;
    /** Why; may be empty. */
    reason: string;
    /** True when nobody answered in time and this is the declared fallback. */
    fallback: boolean;
  }

  /**
   * Asks a person to choose one of the options, at most 10 of 80 bytes; the question has at most 500 bytes. A refusal, the
   * end of the alert, and silence without a fallback are `denied`.
   */
  function ask(question: string, options: Array<string>, settings?: AskSettings): Answer;
}

/** The Alertmanager the operator configured. Matchers are written as there: `alertname="Down"`, `host=~"web.*"`. */
export namespace alertmanager {

  interface AlertFilter {
    /** All must hold. */
    matchers?: Array<string>;
    /** Only silenced ones (true) or only others (false). */
    silenced?: boolean;
    /** Only inhibited ones (true) or only others (false). */
    inhibited?: boolean;
  }

  type AlertState = "unprocessed" | "active" | "suppressed";

  interface HeldAlert {
    /** The label `alertname`. */
    name: string;
    labels: Record<string, string>;
    annotations: Record<string, string>;
    startsAt: string;
    fingerprint: string;
    state: AlertState;
    /** Ids of silences. */
    silencedBy: Array<string>;
  }

  interface SilenceFilter {
    /** Only silences that have every one of these matchers, written alike. */
    matchers?: Array<string>;
    /** Also those that are over. Default false. */
    expired?: boolean;
  }

  type SilenceState = "pending" | "active" | "expired";

  interface Silence {
    id: string;
    state: SilenceState;
    matchers: Array<string>;
    createdBy: string;
    comment: string;
    startsAt: string;
    endsAt: string;
  }

  interface NewSilence {
    /** All must hold; at least one must not match the empty text. */
    matchers: Array<string>;
    /** From now; 1 minute to 7 days. */
    durationMs: number;
    /** Why; run and slot are added to it. */
    comment: string;
  }

  interface SilenceCreated {
    id: string;
    endsAt: string;
  }

  interface SilenceExpired {
    /** False when it was over already. */
    changed: boolean;
  }

  /** Alerts it holds, at most 500. */
  function listAlerts(filter?: AlertFilter): Array<HeldAlert>;

  /** Its silences, at most 500. */
  function listSilences(filter?: SilenceFilter): Array<Silence>;

  /** Silences alerts from now on. */
  function createSilence(silence: NewSilence): SilenceCreated;

  /** Ends a silence now. */
  function expireSilence(id: string): SilenceExpired;
}

/**
 * The language model the operator configured. It only fills what is declared here: evidence is data and adds no option, and where
 * no valid answer comes (no model, no budget, a deadline, nonsense), the declared fallback is the answer and says so. A plan asks
 * no model and goes on with the fallback.
 */
export namespace llm {

  interface Choice {
    /** One of the options, or the fallback. */
    option: string;
    /** The model's own, 0 to 1; 0 for a fallback. */
    confidence: number;
    /** What of the evidence it rests on; empty where it quotes nothing that is there. */
    quote: string;
    /** True when this is the declared fallback. */
    fallback: boolean;
    /** The model's reason, or why the fallback is used. */
    reason: string;
  }

  interface SummarizeOptions {
    /** What to look at, in a sentence; at most 2 KiB. */
    instructions?: string;
    /** Default 150, at most 1,000. */
    maxWords?: number;
  }

  interface Summary {
    text: string;
    /** True when this is the declared fallback. */
    fallback: boolean;
    /** Why the fallback is used; empty if it is not. */
    reason: string;
  }

  interface Extraction {
    /** JSON that is valid against the schema, or the fallback. */
    json: string;
    /** True when this is the declared fallback. */
    fallback: boolean;
    /** Why the fallback is used; empty if it is not. */
    reason: string;
  }

  /** One of 2 to 10 options. The fallback is one of them or another word. */
  function choose(question: string, evidence: string, options: Array<string>, fallback: string): Choice;

  /** The evidence in fewer words. */
  function summarize(evidence: string, options: SummarizeOptions, fallback: string): Summary;

  /** What the evidence says, in the shape of a JSON schema. The fallback is JSON, too. */
  function extract(evidence: string, schema: string, fallback: string): Extraction;
}

/** What this engine has seen before. */
export namespace incidents {

  interface Incident {
    episode: string;
    run: string;
    /** Name of the alert. */
    alert: string;
    at: string;
    runbook: string;
    outcome: string;
    verification: string;
    /** How alike, 0 to 1. */
    score: number;
    /** What was done held. */
    worked: boolean;
    /** Each change in a sentence. */
    changes: Array<string>;
  }

  /** Earlier incidents like the one of this run, the most similar first; at most 20. Empty in a run without an alert. */
  function similar(limit: number): Array<Incident>;
}
