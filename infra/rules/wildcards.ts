// Every wildcard that a policy here may hold, with the reason why it cannot be narrower. Any other fails the checks.

export interface Wildcard {
  actions: readonly string[];
  /** The resource as text: `<LogicalId.Arn>` for a reference within a stack, JSON with the name of an output for one between stacks. */
  resource: RegExp;
  reason: string;
}

export const WILDCARDS: readonly Wildcard[] = [
  {
    actions: ['kms:*'],
    resource: /^\*$/,
    reason: 'The policy of a key speaks of that key only; without the account in it no IAM policy could grant its use.',
  },
  {
    actions: ['kms:Decrypt', 'kms:GenerateDataKey'],
    resource: /^\*$/,
    reason:
      'In the policy of a key, where * is that key: services that publish to an encrypted topic, for this account.',
  },
  {
    actions: ['batch:ListJobs'],
    resource: /^\*$/,
    reason:
      'Listing jobs supports no resource-level permission; the switch ends those of our queues, the Worker finds its own by name.',
  },
  {
    actions: ['ecr:GetAuthorizationToken'],
    resource: /^\*$/,
    reason: 'The token belongs to the registry of the account: AWS offers no narrower resource for this action.',
  },
  {
    actions: ['ecs:DiscoverPollEndpoint'],
    resource: /^\*$/,
    reason: 'Asks for the address of the service, before there is a cluster: AWS offers no narrower resource.',
  },
  {
    actions: ['batch:DescribeJobs'],
    resource: /^\*$/,
    reason: 'Reading the state of jobs supports no resource-level permission, and .sync cannot wait without it.',
  },
  {
    actions: [
      'logs:CreateLogDelivery',
      'logs:DeleteLogDelivery',
      'logs:DescribeLogGroups',
      'logs:DescribeResourcePolicies',
      'logs:GetLogDelivery',
      'logs:ListLogDeliveries',
      'logs:PutResourcePolicy',
      'logs:UpdateLogDelivery',
    ],
    resource: /^\*$/,
    reason: 'How Step Functions sets up vended logs; these actions support no resource-level permission.',
  },
  {
    actions: ['xray:GetSamplingRules', 'xray:GetSamplingTargets', 'xray:PutTelemetryRecords', 'xray:PutTraceSegments'],
    resource: /^\*$/,
    reason: 'Traces are not resources with an ARN: X-Ray takes these actions for the whole account only.',
  },
  {
    actions: [
      'ecs:DeregisterContainerInstance',
      'ecs:RegisterContainerInstance',
      'ecs:SubmitAttachmentStateChanges',
      'ecs:SubmitContainerStateChange',
      'ecs:SubmitTaskStateChange',
    ],
    resource: /:ecs:<AWS::Region>:<AWS::AccountId>:cluster\/\*$/,
    reason: 'Batch makes the cluster and chooses its name, so that no template can name it beforehand.',
  },
  {
    actions: [
      'ecs:ListTagsForResource',
      'ecs:Poll',
      'ecs:StartTelemetrySession',
      'ecs:TagResource',
      'ecs:UpdateContainerInstancesState',
    ],
    resource: /:ecs:<AWS::Region>:<AWS::AccountId>:container-instance\/\*$/,
    reason: 'A machine gets its identifier when it joins the cluster, so that no template can name it beforehand.',
  },
  {
    actions: ['batch:SubmitJob', 'batch:TagResource'],
    resource: /:batch:<AWS::Region>:<AWS::AccountId>:job-definition\/\{"Fn::Select".*\}:\*$/,
    reason: 'Any revision of exactly this definition: an execution that spans a deployment names the revision before.',
  },
  {
    actions: ['batch:TagResource', 'batch:TerminateJob'],
    resource: /:batch:<AWS::Region>:<AWS::AccountId>:job\/\*$/,
    reason: 'A job gets its identifier when it is submitted; region and account are as narrow as its ARN can be named.',
  },
  {
    actions: ['ec2:AttachNetworkInterface', 'ec2:CreateTags', 'ec2:RunInstances'],
    resource: /:ec2:<AWS::Region>:<AWS::AccountId>:(instance|network-interface|volume)\/\*$/,
    reason:
      'What Lambda starts for the image encoder gets its identifier then; the condition holds it to machines that Lambda manages.',
  },
  {
    actions: ['ec2:RunInstances'],
    resource: /:ec2:<AWS::Region>::image\/\*$/,
    reason: 'Lambda chooses the image of its machines; the condition holds it to images of Amazon.',
  },
  {
    actions: [
      'ec2:DescribeAvailabilityZones',
      'ec2:DescribeCapacityReservations',
      'ec2:DescribeInstanceStatus',
      'ec2:DescribeInstanceTypeOfferings',
      'ec2:DescribeInstanceTypes',
      'ec2:DescribeInstances',
      'ec2:DescribeSecurityGroups',
      'ec2:DescribeSubnets',
    ],
    resource: /^\*$/,
    reason:
      'Describing machines, zones and subnets supports no resource-level permission; Lambda looks before it starts any.',
  },
  {
    actions: ['states:DescribeExecution'],
    resource: /:states:<AWS::Region>:<AWS::AccountId>:execution:<TrainingPipelineStateMachine\w+\.Name>:\*$/,
    reason: 'Executions of this machine only: one that finds the lock taken asks whether its holder still runs.',
  },
  {
    actions: ['states:StopExecution'],
    resource: /:states:<AWS::Region>:<AWS::AccountId>:execution:\{.*TrainingPipelineStateMachine\w+Name\w+"\}\}:\*$/,
    reason: 'Executions of this machine only: the switch of spending stops whichever run at that moment.',
  },
  {
    actions: ['s3:GetObject'],
    resource: /DataTrainingBucket\w+"\}\}\/(data\/\*|datasets\/\*\/current\.json|recipes\/\*|runs\/\*)$/,
    reason: 'Keys hold digests and recipe names that exist only later; the prefix is what the layout of keys allows.',
  },
  {
    actions: ['s3:GetObject'],
    resource: /^<DataTrainingBucket\w+\.Arn>\/sources\/\*$/,
    reason: 'A build reads source under the digest of its files, which exists only when somebody deploys.',
  },
  {
    actions: ['s3:AbortMultipartUpload', 's3:DeleteObject', 's3:PutObject'],
    resource: /DataTrainingBucket\w+"\}\}\/runs\/\*$/,
    reason: 'A job writes below the folder of its own run, whose name holds a digest that exists only later.',
  },
  {
    actions: ['s3:PutObject'],
    resource: /DataTrainingBucket\w+"\}\}\/runs\/\*\/job\.json$/,
    reason: 'The planner writes this one file of a run, whose folder is named by a digest that exists only later.',
  },
  {
    actions: ['s3:AbortMultipartUpload', 's3:DeleteObject', 's3:GetObject', 's3:PutObject'],
    resource: /DataJobsBucket\w+"\}\}\/(jobs|job-inputs|uploads)\/\*$/,
    reason:
      'Jobs and uploads get their names when somebody asks for them; the prefix is what the layout of keys allows.',
  },
  {
    actions: ['s3:GetObject'],
    resource: /DataModelsBucket\w+"\}\}\/(artefacts|manifests|models|releases)\/\*$/,
    reason: 'Published files are named by their digests and pointers by their model; both exist only later.',
  },
  {
    actions: ['s3:AbortMultipartUpload', 's3:PutObject'],
    resource: /DataModelsBucket\w+"\}\}\/(artefacts|manifests|models|releases)\/\*$/,
    reason: 'The publisher, and nobody else, writes files named by digests and pointers named by models.',
  },
  {
    actions: ['s3:PutObject'],
    resource: /^<DataAccessLogs\w+\.Arn>\/(TrainingBucket|ModelsBucket|JobsBucket)\/\*$/,
    reason: 'S3 itself delivers the access logs of these buckets, under names that it makes up.',
  },
];

/** Entries that together cover all of a statement's actions on a resource; undefined if some action is not covered. */
export function wildcardsFor(actions: readonly string[], resource: string): Wildcard[] | undefined {
  const candidates = WILDCARDS.filter((wildcard) => wildcard.resource.test(resource));
  const used = candidates.filter((wildcard) => wildcard.actions.some((action) => actions.includes(action)));
  return actions.every((action) => used.some((wildcard) => wildcard.actions.includes(action))) ? used : undefined;
}
