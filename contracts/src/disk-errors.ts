// What a person's disk or rights forbid a command, by the name of the system's error. Any other error of the system is a fault of ours.

export const ON_DISK: Record<string, string> = {
  EACCES: 'this user may not read or write there',
  EPERM: 'this user may not read or write there',
  EROFS: 'that disk can only be read; name another folder',
  ENOSPC: 'the disk is full: free some space and run the same command again',
  EDQUOT: 'the quota of that disk is used up: free some space and run the same command again',
  EFBIG: 'the file would be larger than this user or that disk may have',
  ENOTDIR: 'a file is where a folder is needed',
  EEXIST: 'a file is where a folder is needed',
  EISDIR: 'a folder is where a file is needed',
  ELOOP: 'links lead in a circle there',
};
