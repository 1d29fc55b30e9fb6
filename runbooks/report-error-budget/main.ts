// How fast a service burns its error budget. A pace counts when a long window says it matters and a short one that it is still
// so: the first keeps a spike from waking anyone, the second ends the alarm soon after the fault.

import { done, escalate, log, metrics, notify, nothingToDo, type Input, type Outcome } from "sandbook";

interface Pace {
  long: string;
  short: string;
  /** So many times faster than would use the budget up in its period. */
  limit: number;
  /** A person is needed now. */
  urgent: boolean;
}

const PERIOD_DAYS = 30;
// 2 % of the budget within an hour, 5 % within six, 10 % within three days.
const PACES: Pace[] = [
  { long: "1h", short: "5m", limit: 14.4, urgent: true },
  { long: "6h", short: "30m", limit: 6, urgent: true },
  { long: "3d", short: "6h", limit: 1, urgent: false },
];

export function run(input: Input): Outcome {
  const objective = Number(input.parameters.objective);
  if (!(objective > 0 && objective < 100)) throw new RangeError(`an objective of ${objective} % leaves no budget to burn`);
  const budget = 1 - objective / 100;
  const burn = (window: string): number | undefined => {
    const [sample] = metrics.query(String(input.parameters.errors).replaceAll("$window", window));
    // Nothing asked is nothing failed: PromQL divides by zero then.
    return sample && Number.isFinite(sample.value) ? sample.value / budget : undefined;
  };

  const spent = burn(`${PERIOD_DAYS}d`);
  if (spent === undefined) return nothingToDo(`Prometheus knows of no request within ${PERIOD_DAYS} days`);
  const left = 1 - spent;
  const seen = PACES.map((pace) => ({ ...pace, over: burn(pace.long) ?? 0, now: burn(pace.short) ?? 0 }));
  const table = seen.map((pace) => `${pace.long}: ${pace.over.toFixed(1)} times, ${pace.short}: ${pace.now.toFixed(1)} times, limit ${pace.limit}`);
  const stands = left > 0 ? `${percent(left)} of the budget of ${PERIOD_DAYS} days is left` : `the budget of ${PERIOD_DAYS} days is used up`;
  log.attachEvidence("error budget", [`objective ${objective} %, ${stands}`, ...table].join("\n"));

  const burning = seen.find((pace) => pace.over >= pace.limit && pace.now >= pace.limit);
  if (!burning) {
    if (left > 0) return nothingToDo(`${stands}, and nothing burns it too fast`);
    return tell("warning", `${stands}, though nothing burns it too fast now`, table);
  }
  const gone = left > 0 ? `; at that pace nothing is left in ${span((left * PERIOD_DAYS * 24) / burning.over)}` : "";
  const sentence = `errors burn the budget ${burning.over.toFixed(1)} times too fast over ${burning.long}: ${stands}${gone}`;
  return burning.urgent ? escalate(sentence) : tell("warning", sentence, table);
}

function tell(severity: "info" | "warning", sentence: string, table: string[]): Outcome {
  notify.send({ title: sentence, text: table.join("\n"), severity });
  return done(sentence);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

function span(hours: number): string {
  return hours < 48 ? `${hours.toFixed(1)} hours` : `${(hours / 24).toFixed(1)} days`;
}
