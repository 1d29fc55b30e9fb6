// Generated from sdk/wit by `sandbook-pack generate`; a test compares.
// Every effect, and how its values cross. Types and documentation are in effects.d.ts.

import { container, effect, flag, list, maybe, number, pairs, record, text, tuple, unit, whole, wide } from "./bridge.js";

const typesContainerState = record({
  status: text,
  health: text,
  exitCode: maybe(whole),
  oomKilled: flag,
  error: text,
  startedAt: maybe(text),
  finishedAt: maybe(text),
  restartCount: whole,
});
const typesChange = record({
  changed: flag,
  state: typesContainerState,
});

const dockerContainerFilter = record({
  all: maybe(flag),
  name: maybe(text),
  labels: maybe(list(text)),
  project: maybe(text),
  service: maybe(text),
});
const dockerContainerSummary = record({
  name: text,
  id: text,
  host: text,
  image: text,
  status: text,
  statusText: text,
  project: maybe(text),
  service: maybe(text),
});
const dockerHealthProbe = record({
  startedAt: text,
  exitCode: whole,
  output: text,
});
const dockerMount = record({
  kind: text,
  source: text,
  destination: text,
  writable: flag,
});
const dockerLimits = record({
  memoryBytes: wide,
  memorySwapBytes: wide,
  cpus: number,
  pids: wide,
});
const dockerContainerDetails = record({
  name: text,
  id: text,
  host: text,
  image: text,
  imageId: text,
  state: typesContainerState,
  healthLog: list(dockerHealthProbe),
  createdAt: text,
  command: list(text),
  environmentNames: list(text),
  labels: pairs(text),
  project: maybe(text),
  service: maybe(text),
  restartPolicy: text,
  networkMode: text,
  networks: list(text),
  mounts: list(dockerMount),
  limits: dockerLimits,
  hasHealthcheck: flag,
});
const dockerStats = record({
  cpuPercent: number,
  memoryBytes: wide,
  memoryLimitBytes: wide,
  pids: wide,
  networkReceivedBytes: wide,
  networkSentBytes: wide,
  blockReadBytes: wide,
  blockWrittenBytes: wide,
  throttledPeriods: wide,
});
const dockerProcesses = record({
  titles: list(text),
  rows: list(list(text)),
  zombies: whole,
});
const dockerDependent = record({
  name: text,
  id: text,
  why: text,
  status: text,
});
const dockerEventFilter = record({
  container: maybe(container),
  sinceMs: maybe(wide),
  limit: maybe(whole),
});
const dockerEvent = record({
  at: text,
  action: text,
  container: text,
  exitCode: maybe(whole),
});
const dockerStopOptions = record({
  graceMs: maybe(wide),
});
const dockerKillOptions = record({
  signal: maybe(text),
});
const dockerExecOptions = record({
  timeoutMs: maybe(wide),
  user: maybe(text),
  workdir: maybe(text),
});
const dockerExecResult = record({
  exitCode: whole,
  stdout: text,
  stderr: text,
  truncated: flag,
});
const dockerResources = record({
  memoryBytes: maybe(wide),
  memorySwapBytes: maybe(wide),
  cpus: maybe(number),
  pids: maybe(wide),
});
const dockerNewMount = record({
  kind: text,
  source: maybe(text),
  destination: text,
  writable: maybe(flag),
});
const dockerRecreateOptions = record({
  image: maybe(text),
  environment: maybe(pairs(text)),
  removeEnvironment: maybe(list(text)),
  command: maybe(list(text)),
  mounts: maybe(list(dockerNewMount)),
  labels: maybe(pairs(text)),
  removeLabels: maybe(list(text)),
  limits: maybe(dockerResources),
  networkOf: maybe(container),
  graceMs: maybe(wide),
  healthyWithinMs: maybe(wide),
});
const dockerRecreated = record({
  name: text,
  id: text,
  oldId: text,
  image: text,
  state: typesContainerState,
});
const dockerRemoveOptions = record({
  force: maybe(flag),
});
const dockerRemoved = record({
  name: text,
  id: text,
});
const dockerScaleOptions = record({
  graceMs: maybe(wide),
});
const dockerScaled = record({
  changed: flag,
  before: whole,
  after: whole,
  created: list(text),
  removed: list(text),
});
const dockerConnectOptions = record({
  aliases: maybe(list(text)),
  ipv4Address: maybe(text),
});
const dockerNetworkChange = record({
  changed: flag,
  networks: list(text),
});
const dockerImageFilter = record({
  dangling: maybe(flag),
  unused: maybe(flag),
  tag: maybe(text),
});
const dockerImage = record({
  id: text,
  tags: list(text),
  sizeBytes: wide,
  createdAt: text,
  containers: whole,
});
const dockerUseOfDisk = record({
  count: wide,
  inUse: wide,
  sizeBytes: wide,
  reclaimableBytes: wide,
});
const dockerLogFile = record({
  container: text,
  sizeBytes: wide,
});
const dockerDiskUse = record({
  images: dockerUseOfDisk,
  containers: dockerUseOfDisk,
  volumes: dockerUseOfDisk,
  buildCache: dockerUseOfDisk,
  logs: list(dockerLogFile),
});
const dockerPruneImagesOptions = record({
  unused: maybe(flag),
  olderThanMs: maybe(wide),
});
const dockerPruneCacheOptions = record({
  olderThanMs: maybe(wide),
  keepBytes: maybe(wide),
});
const dockerPruned = record({
  deleted: whole,
  freedBytes: wide,
});
const dockerFileChange = record({
  path: text,
  kind: text,
});
const dockerFileChanges = record({
  changes: list(dockerFileChange),
  truncated: flag,
});
export const docker = {
  listContainers: effect("docker.list-containers", { filter: dockerContainerFilter }, list(dockerContainerSummary)),
  inspectContainer: effect("docker.inspect-container", { container: container }, dockerContainerDetails),
  containerStats: effect("docker.container-stats", { container: container }, dockerStats),
  containerProcesses: effect("docker.container-processes", { container: container }, dockerProcesses),
  dependents: effect("docker.dependents", { container: container }, list(dockerDependent)),
  recentEvents: effect("docker.recent-events", { filter: dockerEventFilter }, list(dockerEvent)),
  startContainer: effect("docker.start-container", { container: container }, typesChange),
  stopContainer: effect("docker.stop-container", { container: container, options: dockerStopOptions }, typesChange),
  restartContainer: effect("docker.restart-container", { container: container, options: dockerStopOptions }, typesChange),
  killContainer: effect("docker.kill-container", { container: container, options: dockerKillOptions }, typesChange),
  pauseContainer: effect("docker.pause-container", { container: container }, typesChange),
  unpauseContainer: effect("docker.unpause-container", { container: container }, typesChange),
  exec: effect("docker.exec", { container: container, argv: list(text), options: dockerExecOptions }, dockerExecResult),
  updateResources: effect("docker.update-resources", { container: container, resources: dockerResources }, typesChange),
  containerChanges: effect("docker.container-changes", { container: container }, dockerFileChanges),
  listImages: effect("docker.list-images", { filter: dockerImageFilter }, list(dockerImage)),
  diskUsage: effect("docker.disk-usage", {}, dockerDiskUse),
  recreateContainer: effect("docker.recreate-container", { container: container, options: dockerRecreateOptions }, dockerRecreated),
  removeContainer: effect("docker.remove-container", { container: container, options: dockerRemoveOptions }, dockerRemoved),
  scaleService: effect("docker.scale-service", { service: text, replicas: whole, options: dockerScaleOptions }, dockerScaled),
  connectNetwork: effect("docker.connect-network", { container: container, network: text, options: dockerConnectOptions }, dockerNetworkChange),
  disconnectNetwork: effect("docker.disconnect-network", { container: container, network: text }, dockerNetworkChange),
  pruneImages: effect("docker.prune-images", { options: dockerPruneImagesOptions }, dockerPruned),
  pruneBuildCache: effect("docker.prune-build-cache", { options: dockerPruneCacheOptions }, dockerPruned),
};

const logsTailOptions = record({
  lines: maybe(whole),
  sinceMs: maybe(wide),
});
const logsPage = record({
  text: text,
  lines: whole,
  truncated: flag,
});
const logsSearchOptions = record({
  sinceMs: maybe(wide),
  limit: maybe(whole),
  context: maybe(whole),
  cursor: maybe(text),
});
const logsMatch = record({
  at: text,
  line: text,
  context: list(text),
});
const logsMatches = record({
  found: list(logsMatch),
  cursor: maybe(text),
  scanned: whole,
});
const logsLokiOptions = record({
  sinceMs: maybe(wide),
  limit: maybe(whole),
});
const logsLokiLine = record({
  at: text,
  line: text,
  labels: pairs(text),
});
const logsLokiPage = record({
  lines: list(logsLokiLine),
  truncated: flag,
});
const logsTruncated = record({
  freedBytes: wide,
});
export const logs = {
  tailContainer: effect("logs.tail-container", { container: container, options: logsTailOptions }, logsPage),
  searchContainer: effect("logs.search-container", { container: container, pattern: text, options: logsSearchOptions }, logsMatches),
  queryLoki: effect("logs.query-loki", { logql: text, options: logsLokiOptions }, logsLokiPage),
  truncateContainerLog: effect("logs.truncate-container-log", { container: container }, logsTruncated),
};

const metricsSample = record({
  labels: pairs(text),
  value: number,
  at: text,
});
const metricsSeries = record({
  labels: pairs(text),
  points: list(tuple(number, number)),
});
const metricsRange = record({
  sinceMs: wide,
  stepMs: wide,
});
export const metrics = {
  query: effect("metrics.query", { promql: text }, list(metricsSample)),
  queryRange: effect("metrics.query-range", { promql: text, range: metricsRange }, list(metricsSeries)),
};

const netProbeOptions = record({
  timeoutMs: maybe(wide),
  expectStatus: maybe(whole),
  expectBody: maybe(text),
});
const netProbeResult = record({
  ok: flag,
  status: maybe(whole),
  durationMs: wide,
  reason: text,
});
const netCheckOptions = record({
  timeoutMs: maybe(wide),
});
const netCheckResult = record({
  open: flag,
  durationMs: wide,
  reason: text,
});
const netLookupResult = record({
  addresses: list(text),
  durationMs: wide,
});
export const net = {
  httpProbe: effect("net.http-probe", { url: text, options: netProbeOptions }, netProbeResult),
  tcpCheck: effect("net.tcp-check", { host: text, port: whole, options: netCheckOptions }, netCheckResult),
  dnsLookup: effect("net.dns-lookup", { name: text, options: netCheckOptions }, netLookupResult),
};

const httpGetOptions = record({
  headers: maybe(pairs(text)),
  timeoutMs: maybe(wide),
});
const httpRequestOptions = record({
  headers: maybe(pairs(text)),
  body: maybe(text),
  timeoutMs: maybe(wide),
  idempotent: maybe(flag),
});
const httpResponse = record({
  status: whole,
  headers: pairs(text),
  body: text,
  truncated: flag,
});
export const http = {
  get: effect("http.get", { url: text, options: httpGetOptions }, httpResponse),
  request: effect("http.request", { method: text, url: text, options: httpRequestOptions }, httpResponse),
};

const notifyMessage = record({
  channel: maybe(text),
  title: text,
  text: text,
  severity: maybe(text),
  dedupKey: maybe(text),
});
const notifyReceipt = record({
  channel: text,
  dedupKey: text,
});
export const notify = {
  send: effect("notify.send", { message: notifyMessage }, notifyReceipt),
};

export const state = {
  get: effect("state.get", { key: text }, maybe(text)),
  put: effect("state.put", { key: text, value: text }, unit),
  compareAndPut: effect("state.compare-and-put", { key: text, expected: maybe(text), value: text }, flag),
};

export const clock = {
  now: effect("clock.now", {}, wide),
  sleep: effect("clock.sleep", { durationMs: wide }, unit),
};

export const random = {
  randomU64: effect("random.random-u64", {}, unit),
};

export const log = {
  log: effect("log.log", { level: text, message: text }, unit),
  progress: effect("log.progress", { message: text, percent: maybe(whole) }, unit),
  attachEvidence: effect("log.attach-evidence", { name: text, text: text }, unit),
};

const humanAskSettings = record({
  details: maybe(text),
  fallback: maybe(text),
  timeoutMs: maybe(wide),
});
const humanAnswer = record({
  option: text,
  by: text,
  reason: text,
  fallback: flag,
});
export const human = {
  ask: effect("human.ask", { question: text, options: list(text), settings: humanAskSettings }, humanAnswer),
};

const alertmanagerAlertFilter = record({
  matchers: maybe(list(text)),
  silenced: maybe(flag),
  inhibited: maybe(flag),
});
const alertmanagerHeldAlert = record({
  name: text,
  labels: pairs(text),
  annotations: pairs(text),
  startsAt: text,
  fingerprint: text,
  state: text,
  silencedBy: list(text),
});
const alertmanagerSilenceFilter = record({
  matchers: maybe(list(text)),
  expired: maybe(flag),
});
const alertmanagerSilence = record({
  id: text,
  state: text,
  matchers: list(text),
  createdBy: text,
  comment: text,
  startsAt: text,
  endsAt: text,
});
const alertmanagerNewSilence = record({
  matchers: list(text),
  durationMs: wide,
  comment: text,
});
const alertmanagerSilenceCreated = record({
  id: text,
  endsAt: text,
});
const alertmanagerSilenceExpired = record({
  changed: flag,
});
export const alertmanager = {
  listAlerts: effect("alertmanager.list-alerts", { filter: alertmanagerAlertFilter }, list(alertmanagerHeldAlert)),
  listSilences: effect("alertmanager.list-silences", { filter: alertmanagerSilenceFilter }, list(alertmanagerSilence)),
  createSilence: effect("alertmanager.create-silence", { silence: alertmanagerNewSilence }, alertmanagerSilenceCreated),
  expireSilence: effect("alertmanager.expire-silence", { id: text }, alertmanagerSilenceExpired),
};

const llmChoice = record({
  option: text,
  confidence: number,
  quote: text,
  fallback: flag,
  reason: text,
});
const llmSummarizeOptions = record({
  instructions: maybe(text),
  maxWords: maybe(whole),
});
const llmSummary = record({
  text: text,
  fallback: flag,
  reason: text,
});
const llmExtraction = record({
  json: text,
  fallback: flag,
  reason: text,
});
export const llm = {
  choose: effect("llm.choose", { question: text, evidence: text, options: list(text), fallback: text }, llmChoice),
  summarize: effect("llm.summarize", { evidence: text, options: llmSummarizeOptions, fallback: text }, llmSummary),
  extract: effect("llm.extract", { evidence: text, schema: text, fallback: text }, llmExtraction),
};

const incidentsIncident = record({
  episode: text,
  run: text,
  alert: text,
  at: text,
  runbook: text,
  outcome: text,
  verification: text,
  score: number,
  worked: flag,
  changes: list(text),
});
export const incidents = {
  similar: effect("incidents.similar", { limit: whole }, list(incidentsIncident)),
};
