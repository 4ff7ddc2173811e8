// The state machine as it is deployed: its definition out of the template, references as readable names in place of ARNs.
import type { StateMachineDefinition } from 'aws-local-stepfunctions';
import { one, synthesis, text } from './synthesis.ts';

/** With references between CloudFormation resources replaced: `<TrainingControlPlan70B7931B.Arn>`. */
export function stateMachineDefinition(environment: 'dev' | 'prod'): StateMachineDefinition {
  const { properties } = one(synthesis(environment).templates.training, 'AWS::StepFunctions::StateMachine');
  return JSON.parse(text(properties.DefinitionString));
}

/**
 * As the local interpreter can run it. It looks for the path of a task's timeout in what the task is given, where the service looks in the
 * input of the state; and its clock holds no more than 24 days.
 */
export function interpretable(definition: object): StateMachineDefinition {
  const { TimeoutSeconds: _, ...rest } = JSON.parse(
    JSON.stringify(definition).replaceAll('"TimeoutSecondsPath":"$.timeout_seconds"', '"TimeoutSeconds":3600'),
  );
  return rest;
}
