#!/bin/sh
# Becomes workerd, beside a small process that kills it when the process that started it is gone, however that ended.
# workerd itself would go on serving. $WORKERD is its executable; the arguments are passed on.
parent=$PPID
{
  while kill -0 "$parent" && kill -0 $$; do sleep 0.5; done
  kill -9 $$
} < /dev/null > /dev/null 2>&1 3>&- &
exec "$WORKERD" "$@"
