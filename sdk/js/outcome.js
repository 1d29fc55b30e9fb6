// How a run ended, in a sentence a person reads at three in the morning.

export class Outcome {
  constructor(kind, text) {
    this.kind = kind;
    this.text = String(text);
    Object.freeze(this);
  }
}

/** Did what it is for; nothing was broken. */
export const done = (text) => new Outcome("done", text);
/** Changed something and believes it is fixed; the engine verifies. */
export const fixed = (text) => new Outcome("fixed", text);
/** Found nothing wrong. */
export const nothingToDo = (text) => new Outcome("nothing-to-do", text);
/** A person is needed. */
export const escalate = (text) => new Outcome("escalate", text);
