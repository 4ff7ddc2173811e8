"""One module for each kind of dev set: functions from a bench to figures."""
