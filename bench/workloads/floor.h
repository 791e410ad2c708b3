#pragma once

// Runs the command, ended by NULL, under the least possible switching; returns its exit status. Exits 1 where that cannot be.
int run_at_floor(char **command);
