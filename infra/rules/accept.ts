// A finding of the checks that is accepted where it stands, with the reason beside what it is about.
import { Validations } from 'aws-cdk-lib';
import type { IConstruct } from 'constructs';

/** `rule` carries the name of its pack, and names one finding: without either it silently matches nothing. */
export function accept(construct: IConstruct, rule: `${string}::${string}`, reason: string): void {
  Validations.of(construct).acknowledge({ id: rule, reason });
}
