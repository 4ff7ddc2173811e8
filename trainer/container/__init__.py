"""The training image's entry: downloads one stage's inputs from S3, runs the stage, uploads its output to S3.

`python -m container s3://bucket/key/job.json`. Stages know local files only; this package is the only one that knows S3,
and it knows nothing of Batch or Step Functions. Its guarantees:

- Exit 0: finished, now or earlier. `report.json` is uploaded last, after everything it names.
- Exit 75: run the same job again. What the stage saved is in the output folder and the next attempt resumes from it.
- Exit 65: refused; standard error says what to do, and another attempt would fail the same way. Other codes: the stage's.
- SIGTERM or SIGINT: the stage is asked once for a checkpoint, which is uploaded. All ends within `STOP_SECONDS`.
- A failed upload is retried for half an hour, because that costs less than repeating the work. After that the exit code
  is 75 where another attempt may succeed and 65 where it will not. The last uploaded checkpoint stays in both cases.
  log.txt is written before the stage starts, so that a missing permission shows early.
"""
