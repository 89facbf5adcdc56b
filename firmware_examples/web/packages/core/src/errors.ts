/** Base class of all errors of this client. The message states what was expected and found; `hint` says what to do. */
export class EdgeSdkError extends Error {
  readonly hint: string;

  constructor(message: string, hint = "") {
    super(message);
    this.name = new.target.name;
    this.hint = hint;
  }
}

/** A model file that is damaged, or a network that cannot be run. */
export class ModelError extends EdgeSdkError {}

/** A model card that is missing, malformed or of another kind. */
export class ModelCardError extends ModelError {}

/** A network that contradicts its card. */
export class ModelContractError extends ModelError {}

/** An argument of the caller with a wrong shape, type or value. */
export class InputError extends EdgeSdkError {}

/** A sample that cannot be used. `reason` is a stable identifier for programs and statistics. */
export class AcquisitionError extends EdgeSdkError {
  readonly reason: string;

  constructor(message: string, reason: string, hint = "") {
    super(message, hint);
    this.reason = reason;
  }
}
