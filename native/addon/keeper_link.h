// The daemon's end of the keeper's socket, on the JS event loop: it is control, not data.
#pragma once

#include <napi.h>

namespace sockswitch::addon {

// JS: connectKeeper(path, handlers) -> KeeperLink (src/addon/addon.ts)
Napi::Value connect_keeper(const Napi::CallbackInfo& info);

}  // namespace sockswitch::addon
