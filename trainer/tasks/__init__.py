"""What each training stage learns, as tasks for the loop: modules, draws and losses."""
