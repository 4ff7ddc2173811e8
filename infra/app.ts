// Entry of `cdk`: one environment, chosen by `-c environment=dev|prod`; dev without it.
import { App } from 'aws-cdk-lib';
import { settingsOf } from './environments.ts';
import { addChecks } from './rules/checks.ts';
import { createStacks } from './stacks.ts';

const app = new App({ analyticsReporting: false });
createStacks(app, settingsOf(app.node.tryGetContext('environment') ?? 'dev'));
addChecks(app);
app.synth();
