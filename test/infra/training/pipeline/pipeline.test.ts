// The state machine's surroundings: its role, its functions, its topic, its log and the schedule that starts it.
import { describe, expect, it } from 'vitest';
import { bySomeJobClasses } from '../../../../contracts/src/job-classes.ts';
import { datasetKey } from '../../../../contracts/src/keys.ts';
import { jobDefinitionOutput } from '../../../../contracts/src/outputs.ts';
import { STAGE_NAMES } from '../../../../contracts/src/stages.ts';
import { array, one, propertiesOf, record, statements, synthesis, text } from '../../../support/synthesis.ts';

/** `<LogicalId>` of the job definition of each class that is deployed. */
const DEFINITIONS = bySomeJobClasses((name) => {
  const output = synthesis('prod').templates.training.Outputs[jobDefinitionOutput(name)];
  return output === undefined ? undefined : text(output.Value);
});

describe.each(['dev', 'prod'] as const)('the pipeline of %s', (environment) => {
  const synthesised = synthesis(environment);
  const { training } = synthesised.templates;
  const mine = statements(synthesised).filter(
    ({ holder, hasPrincipal }) => !hasPrincipal && holder.startsWith('TrainingPipelineR'),
  );
  const allowed = (action: string) =>
    mine
      .filter(({ effect, actions }) => effect === 'Allow' && actions.includes(action))
      .flatMap(({ resources }) => resources);

  it('may submit jobs to the two queues, of the definition of each job class, and to nothing else', () => {
    const resources = allowed('batch:SubmitJob');
    expect(resources.filter((resource) => resource.includes('Queue')).toSorted()).toEqual([
      expect.stringMatching(/^<TrainingCpuFleetQueue\w+\.JobQueueArn>$/),
      expect.stringMatching(/^<TrainingGpuFleetQueue\w+\.JobQueueArn>$/),
    ]);
    const definitions = resources.filter((resource) => !resource.includes('Queue'));
    expect(definitions).toHaveLength(2 * Object.keys(DEFINITIONS).length);
    for (const id of Object.values(DEFINITIONS)) {
      // arn:aws:batch:REGION:ACCOUNT:job-definition/NAME:REVISION, so that 5 by colons and then 1 by slashes is the name.
      const family = new RegExp(
        `^arn:<AWS::Partition>:batch:<AWS::Region>:<AWS::AccountId>:job-definition/${id}\\[5\\]\\[1\\](:\\*)?$`,
      );
      expect(definitions.filter((definition) => family.test(definition))).toHaveLength(2);
    }
  });

  it('may tag what it submits: the same call is authorised a second time for its tags', () => {
    const jobs = 'arn:<AWS::Partition>:batch:<AWS::Region>:<AWS::AccountId>:job/*';
    expect(allowed('batch:TagResource').toSorted()).toEqual([...allowed('batch:SubmitJob'), jobs].toSorted());
  });

  it('may look after its jobs and end them: otherwise a stopped execution would leave a machine running', () => {
    expect(allowed('batch:DescribeJobs')).toEqual(['*']);
    expect(allowed('batch:TerminateJob')).toEqual(['arn:<AWS::Partition>:batch:<AWS::Region>:<AWS::AccountId>:job/*']);
  });

  it('may keep the rule by which it learns that a job has ended', () => {
    for (const action of ['events:PutTargets', 'events:PutRule', 'events:DescribeRule'])
      expect(allowed(action)).toEqual([
        'arn:<AWS::Partition>:events:<AWS::Region>:<AWS::AccountId>:rule/StepFunctionsGetEventsForBatchJobsRule',
      ]);
  });

  it('may call its three functions, use its table and its topic, and ask about its own executions', () => {
    expect(allowed('lambda:InvokeFunction')).toHaveLength(3);
    for (const action of ['dynamodb:PutItem', 'dynamodb:GetItem', 'dynamodb:DeleteItem'])
      expect(allowed(action)).toEqual([expect.stringMatching(/PublishOutputFnGetAttDataRuns\w+>$/)]);
    expect(allowed('sns:Publish')).toEqual([`<${one(training, 'AWS::SNS::Topic').id}>`]);
    expect(allowed('states:DescribeExecution')).toEqual([
      expect.stringMatching(/:execution:<TrainingPipelineStateMachine\w+\.Name>:\*$/),
    ]);
  });

  it('is a standard machine, traced, and logs everything for a stated time', () => {
    const { properties } = one(training, 'AWS::StepFunctions::StateMachine');
    expect(properties).toMatchObject({
      StateMachineType: 'STANDARD',
      TracingConfiguration: { Enabled: true },
      LoggingConfiguration: { Level: 'ALL', IncludeExecutionData: true },
    });
    expect(text(properties.RoleArn)).toBe(`<${one(training, 'AWS::IAM::Role', 'TrainingPipelineRole').id}.Arn>`);
  });

  it('reports to a topic that is encrypted with our key and refuses anything but TLS', () => {
    const { id, properties } = one(training, 'AWS::SNS::Topic');
    expect(text(properties.KmsMasterKeyId)).toContain('DataKey');
    const denied = statements(synthesised).filter(
      ({ effect, resources }) => effect === 'Deny' && resources.includes(`<${id}>`),
    );
    expect(denied).toEqual([
      expect.objectContaining({ actions: ['sns:Publish'], condition: { Bool: { 'aws:SecureTransport': 'false' } } }),
    ]);
  });
});

describe('the functions', () => {
  const synthesised = synthesis('prod');
  const { training } = synthesised.templates;
  const properties = (name: string) => one(training, 'AWS::Lambda::Function', `TrainingControl${name}`).properties;
  const variables = (name: string) => record(record(properties(name).Environment).Variables);
  const allowed = (name: string) =>
    statements(synthesised)
      .filter(({ holder }) => holder.startsWith(`TrainingControl${name}RoleDefaultPolicy`))
      .flatMap(({ actions, resources }) =>
        actions.flatMap((action) =>
          resources.map((resource) => {
            const [, bucket = '', key = ''] = /Data(TrainingBucket|ModelsBucket)\w+>(.*)$/.exec(resource) ?? [];
            return bucket === '' ? action : `${action} ${bucket}${key}`;
          }),
        ),
      )
      .filter((permission) => permission.startsWith('s3:'))
      .toSorted();

  it('run on Node 24, on arm64, as long and as large as their work', () => {
    const functions = propertiesOf(training, 'AWS::Lambda::Function');
    expect(Object.keys(functions)).toHaveLength(3);
    for (const { Runtime, Architectures, Handler } of Object.values(functions)) {
      expect(Runtime).toBe('nodejs24.x');
      expect(Architectures).toEqual(['arm64']);
      expect(Handler).toBe('index.handler');
    }
    expect(properties('Plan')).toMatchObject({ MemorySize: 512, Timeout: 120 });
    // Both read a model whole: packing the embedded one's weights and embedding with them takes 265 MiB.
    for (const name of ['Gate', 'Publish']) expect(properties(name)).toMatchObject({ MemorySize: 1024, Timeout: 600 });
  });

  it('tell the planner queues and job definitions by job class', () => {
    const { JOB_QUEUES, JOB_DEFINITIONS } = variables('Plan');
    const fleets: Record<string, unknown> = {
      cpu: expect.stringMatching(/^<TrainingCpuFleetQueue\w+\.JobQueueArn>$/),
      gpu: expect.stringMatching(/^<TrainingGpuFleetQueue\w+\.JobQueueArn>$/),
    };
    expect(JSON.parse(text(JOB_QUEUES))).toEqual(bySomeJobClasses((_, { queue }) => fleets[queue]));
    expect(JSON.parse(text(JOB_DEFINITIONS))).toEqual(DEFINITIONS);
  });

  it('tell the planner what source each stage of the image executes', () => {
    const digests = record(JSON.parse(text(variables('Plan').CODE_DIGESTS)));
    expect(Object.keys(digests).toSorted()).toEqual(STAGE_NAMES.toSorted());
    for (const digest of Object.values(digests)) expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/);
    // The command that submits reads its beginning in the outputs. CloudFormation takes 1,024 characters.
    const output = text(training.Outputs.StageCode?.Value);
    expect(output.length).toBeLessThan(1024);
    const begun = Object.entries(digests).map(([stage, digest]) => [stage, text(digest).slice(7, 19)]);
    expect(JSON.parse(output)).toEqual(Object.fromEntries(begun));
  });

  it('let the planner read requests, pointers of data and runs, and write job.json alone', () => {
    expect(allowed('Plan')).toEqual([
      's3:GetObject TrainingBucket/datasets/*/current.json',
      's3:GetObject TrainingBucket/recipes/*',
      's3:GetObject TrainingBucket/runs/*',
      's3:ListBucket TrainingBucket',
      's3:PutObject TrainingBucket/runs/*/job.json',
    ]);
  });

  it('let the gate read runs and write nothing', () => {
    expect(allowed('Gate')).toEqual(['s3:GetObject TrainingBucket/runs/*', 's3:ListBucket TrainingBucket']);
  });

  it('let the publisher read runs and write none', () => {
    expect(allowed('Publish')).toEqual(allowed('Gate'));
  });
});

describe.each([
  { environment: 'dev' as const, state: 'DISABLED', recipes: ['smoke'] },
  { environment: 'prod' as const, state: 'ENABLED', recipes: ['embedded'] },
])('the schedule of $environment', ({ environment, state, recipes }) => {
  const synthesised = synthesis(environment);
  const { training } = synthesised.templates;
  const schedules = Object.values(propertiesOf(training, 'AWS::Scheduler::Schedule'));
  const queue = one(training, 'AWS::SQS::Queue');

  it('starts the machine with the name of each recipe, within an hour of Sunday 02:00 UTC', () => {
    expect(schedules.map(({ Target }) => JSON.parse(text(record(Target).Input)))).toEqual(
      recipes.map((recipe) => ({ recipe })),
    );
    for (const schedule of schedules)
      expect(schedule).toMatchObject({
        State: state,
        ScheduleExpression: 'cron(0 2 ? * SUN *)',
        ScheduleExpressionTimezone: 'Etc/UTC',
        FlexibleTimeWindow: { Mode: 'FLEXIBLE', MaximumWindowInMinutes: 60 },
        Target: { Arn: { Ref: one(training, 'AWS::StepFunctions::StateMachine').id } },
      });
  });

  it('tries a start three times within an hour and then keeps it for two weeks', () => {
    for (const { Target } of schedules)
      expect(Target).toMatchObject({
        RetryPolicy: { MaximumRetryAttempts: 3, MaximumEventAgeInSeconds: 3600 },
        DeadLetterConfig: { Arn: { 'Fn::GetAtt': [queue.id, 'Arn'] } },
      });
    expect(queue.properties).toMatchObject({ MessageRetentionPeriod: 14 * 24 * 3600, SqsManagedSseEnabled: true });
  });

  it('refuses anything but TLS at its dead-letter queue', () => {
    const denied = statements(synthesised).filter(
      ({ effect, resources }) => effect === 'Deny' && resources.includes(`<${queue.id}.Arn>`),
    );
    expect(denied).toEqual([expect.objectContaining({ condition: { Bool: { 'aws:SecureTransport': 'false' } } })]);
  });

  it('and new data may start this machine and nothing else', () => {
    const starts = statements(synthesised).filter(({ actions }) => actions.includes('states:StartExecution'));
    const machine = [`<${one(training, 'AWS::StepFunctions::StateMachine').id}>`];
    expect(starts.map(({ resources }) => resources)).toEqual([machine, machine]);
    expect(array(schedules)).toHaveLength(1);
  });
});

describe('new data', () => {
  const { data, training } = synthesis('dev').templates;
  const rule = record(one(training, 'AWS::Events::Rule', 'TrainingArrival').properties);

  it('is an event of the training bucket, and of no other', () => {
    const told = Object.entries(propertiesOf(data, 'AWS::S3::Bucket')).filter(
      ([, { NotificationConfiguration: asked }]) => asked !== undefined,
    );
    expect(told.map(([id, { NotificationConfiguration: asked }]) => [id, asked])).toEqual([
      [expect.stringContaining('TrainingBucket'), { EventBridgeConfiguration: { EventBridgeEnabled: true } }],
    ]);
  });

  it('is the pointer of a dataset, which a submission, a run or an upload never writes', () => {
    const { source, 'detail-type': type, detail } = record(rule.EventPattern);
    expect([source, type]).toEqual([['aws.s3'], ['Object Created']]);
    const { bucket, object } = record(detail);
    expect(text(array(record(bucket).name)[0])).toContain('TrainingBucket');
    expect(object).toEqual({ key: [{ wildcard: 'datasets/*/current.json' }] });
    expect(datasetKey('shop')).toBe('datasets/shop/current.json');
  });

  it('starts the machine with that key, tries three times within an hour, and then keeps the start', () => {
    const [target] = array(rule.Targets).map(record);
    expect(target).toMatchObject({
      Arn: { Ref: one(training, 'AWS::StepFunctions::StateMachine').id },
      InputTransformer: {
        InputPathsMap: { 'detail-object-key': '$.detail.object.key' },
        InputTemplate: '{"pointer":<detail-object-key>}',
      },
      RetryPolicy: { MaximumRetryAttempts: 3, MaximumEventAgeInSeconds: 3600 },
      DeadLetterConfig: { Arn: { 'Fn::GetAtt': [one(training, 'AWS::SQS::Queue').id, 'Arn'] } },
    });
  });
});
