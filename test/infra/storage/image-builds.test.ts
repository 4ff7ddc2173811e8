// The project that builds images: what it may read and push, and what it runs.
import { expect, it } from 'vitest';
import { CLOUD_OUTPUTS } from '../../../contracts/src/outputs.ts';
import { one, record, statements, synthesis, text } from '../../support/synthesis.ts';

const synthesised = synthesis('dev');
const { data } = synthesised.templates;
const project = one(data, 'AWS::CodeBuild::Project');

it('logs in, builds for the platform that a start names, without attestations, and pushes', () => {
  const { BuildSpec, Type } = record(project.properties.Source);
  const { phases } = JSON.parse(text(BuildSpec));
  expect(Type).toBe('S3');
  const commands: string[] = [...phases.pre_build.commands, ...phases.build.commands];
  expect(commands.map((line) => /docker (\w+)/.exec(line)?.[1])).toEqual(['login', 'build', 'push']);
  expect(commands[1]).toContain('--platform "$PLATFORM" --provenance=false -f "$DOCKERFILE" -t "$REPOSITORY:$TAG"');
  expect(data.Outputs[CLOUD_OUTPUTS.imageBuilds]?.Value).toEqual({ Ref: project.id });
});

it('may read sources and push to the two repositories, and nothing else of the deployment', () => {
  const own = statements(synthesised).filter(({ holder }) => holder.startsWith('DataImageBuildsRole'));
  const allowed = own.flatMap(({ actions, resources }) =>
    resources.map((resource) => `${actions.join(' ')} on ${resource.replace(/[0-9A-F]{8}/g, '')}`),
  );
  expect(allowed.toSorted()).toEqual([
    'ecr:BatchCheckLayerAvailability ecr:CompleteLayerUpload ecr:InitiateLayerUpload ecr:PutImage ecr:UploadLayerPart on <DataEncoderImages.Arn>',
    'ecr:BatchCheckLayerAvailability ecr:CompleteLayerUpload ecr:InitiateLayerUpload ecr:PutImage ecr:UploadLayerPart on <DataTrainerImages.Arn>',
    'ecr:GetAuthorizationToken on *',
    'kms:Decrypt on <DataKey.Arn>',
    'logs:CreateLogStream logs:PutLogEvents on <DataImageBuildsLogs.Arn>',
    's3:GetBucketAcl s3:GetBucketLocation on <DataTrainingBucket.Arn>',
    's3:GetObject on <DataTrainingBucket.Arn>/sources/*',
    's3:ListBucket on <DataTrainingBucket.Arn>',
  ]);
  const list = own.find(({ actions }) => actions.includes('s3:ListBucket'));
  expect(list?.condition).toEqual({ StringLikeIfExists: { 's3:prefix': ['sources/*'] } });
});

it('ends after an hour, in the queue as in the build', () => {
  expect(project.properties).toMatchObject({ TimeoutInMinutes: 60, QueuedTimeoutInMinutes: 60 });
});
