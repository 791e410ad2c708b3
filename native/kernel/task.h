// What /proc says of another task's credentials and namespaces.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "base/unique_fd.h"

namespace sockswitch {

// "user", "pid", ...: a namespace of thread `tid`. Throws ErrnoError.
UniqueFd open_namespace(pid_t tid, const char* kind);

// The user namespace of `tid`, or, if it is nested, the one around it that lies directly below our
// own: every user and group of the container is mapped there.
UniqueFd outermost_user_namespace(pid_t tid);

// Throws ErrnoError (ESRCH: the thread is gone).
struct Privileges {
  unsigned effective_uid = 0;
  std::uint64_t effective_capabilities = 0;  // in its own user namespace
  bool no_new_privs = false;
};
Privileges read_privileges(pid_t tid);

// Whether thread `tid` has `capability` (CAP_*) in the user namespace `target`: the kernel's
// ns_capable() for another task (cap_capable() in security/commoncap.c). Throws ErrnoError.
bool has_capability(pid_t tid, int target, unsigned capability);

}  // namespace sockswitch
