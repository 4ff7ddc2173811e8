"""The training image's entry: one stage's inputs from S3 to this disk, the stage, what it made back to S3.

`python -m container s3://bucket/key/job.json`. Stages know local files only; this package is the only one that knows S3,
and it knows nothing of Batch or Step Functions. What others may rely on:

- Exit 0: finished, now or earlier. `report.json` is the last object put; everything it names is there before it.
- Exit 75: run the same job again. What the stage saved is in the output folder and the next attempt goes on from it.
- Exit 65: refused (the sentence on standard error says what to do), trying again is of no use. Other codes: the stage's.
- SIGTERM or SIGINT: the stage is asked once for a checkpoint, which is uploaded; over within `STOP_SECONDS`.
- An upload that fails is tried again for half an hour before the machine with the only copy is given up: half an hour of
  it is cheaper than the work. After that 75 where trying again elsewhere may help, and 65 where it will not. Either way
  the checkpoint that was uploaded last stays; writing log.txt before the stage starts shows early that one may write.
"""
