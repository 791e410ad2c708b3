#pragma once

// Runs the command, ended by NULL, under the least possible switching; returns its exit status. Exits 1 where that cannot be.
int run_at_floor(char **command);

// A network namespace of its own, with a loopback device that is up. Needs CAP_SYS_ADMIN and CAP_NET_ADMIN. Exits 1 where that cannot be.
void enter_new_network(void);
