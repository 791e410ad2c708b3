// The calls that are handled: one source file each.
#pragma once

#include <optional>

#include "base/outcome.h"
#include "kernel/linux_abi.h"
#include "notify/context.h"
#include "notify/notification.h"

namespace sockswitch {

// Each answers the notification and says what the outcome was.
Outcome handle_connect(Context& context, const abi::SeccompNotif& notification,
                       const CallArguments& arguments);
// The end of a connect whose descriptor a daemon had replaced, or was about to, when it was killed.
// No value if it had not come to that, or the connection has failed: it is to be handled anew.
std::optional<Outcome> resume_connect(Context& context, const abi::SeccompNotif& notification,
                                      const CallArguments& arguments);
Outcome handle_bind(Context& context, const abi::SeccompNotif& notification,
                    const CallArguments& arguments);
Outcome handle_listen(Context& context, const abi::SeccompNotif& notification,
                      const CallArguments& arguments);
Outcome handle_ioctl(Context& context, const abi::SeccompNotif& notification,
                     const CallArguments& arguments);
Outcome handle_set_option(Context& context, const abi::SeccompNotif& notification,
                          const CallArguments& arguments);
Outcome handle_get_option(Context& context, const abi::SeccompNotif& notification,
                          const CallArguments& arguments);
Outcome handle_get_name(Context& context, const abi::SeccompNotif& notification,
                        const CallArguments& arguments);
// The end of a getsockname whose length a daemon had overwritten, or was about to, when it was
// killed. No value if it had not come to that: it is to be handled anew.
std::optional<Outcome> resume_get_name(Context& context, const abi::SeccompNotif& notification,
                                       const CallArguments& arguments);

}  // namespace sockswitch
