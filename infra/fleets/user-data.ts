// The start of a training machine: settings of its ECS agent, and its own disks as one volume.
import * as ec2 from 'aws-cdk-lib/aws-ec2';

/** Off by default. With it the two minutes of warning reach the container as SIGTERM, and it has 110 s to save. */
const ECS_CONFIG = `#!/bin/bash
echo ECS_ENABLE_SPOT_INSTANCE_DRAINING=true >> /etc/ecs/ecs.config
echo ECS_CONTAINER_STOP_TIMEOUT=110s >> /etc/ecs/ecs.config
`;

/** Where the volume of a machine's own disks is, on the machine and in its containers. */
export const SCRATCH = '/scratch';

/** A machine whose disks cannot be joined uses the first one, and one without disks the folder on its root volume. */
const SCRATCH_VOLUME = `#!/bin/bash
mkdir -p ${SCRATCH}
mapfile -t disks < <(lsblk --nodeps --noheadings --paths --output NAME,MODEL | awk '/Instance Storage/ {print $1}')
volume=\${disks[0]}
if [ \${#disks[@]} -gt 1 ]; then
  command -v mdadm > /dev/null || dnf install --assumeyes mdadm
  mdadm --create /dev/md0 --level=0 --raid-devices=\${#disks[@]} "\${disks[@]}" && volume=/dev/md0
fi
[ -z "$volume" ] || { mkfs.xfs -f "$volume" && mount -o noatime "$volume" ${SCRATCH}; }
`;

/** Batch merges its own user data into ours, which it can only do with MIME parts. */
export function userDataOf({ hasScratch }: { hasScratch: boolean }): ec2.MultipartUserData {
  const userData = new ec2.MultipartUserData();
  for (const body of [ECS_CONFIG, ...(hasScratch ? [SCRATCH_VOLUME] : [])])
    userData.addPart(ec2.MultipartBody.fromRawBody({ contentType: 'text/x-shellscript; charset="us-ascii"', body }));
  return userData;
}
