// The error of a model registry: an object that is missing, altered or not what its contract says.
import { UserError } from '../../contracts/src/user-error.ts';

/** The message is a sentence for the operator of the registry. Command lines print it and exit with 2. */
export class RegistryError extends UserError {
  override readonly name: string = 'RegistryError';
  /** The same may succeed a moment later: the store did not answer. */
  readonly isTransient: boolean;

  /** `cause`: what the store's client threw. */
  constructor(message: string, { isTransient = false, cause }: { isTransient?: boolean; cause?: unknown } = {}) {
    super(message);
    this.isTransient = isTransient;
    this.cause = cause;
  }
}
