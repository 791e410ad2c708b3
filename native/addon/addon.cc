// What the addon exports; src/addon/addon.ts types it.
#include <fcntl.h>
#include <napi.h>

#include <memory>
#include <mutex>
#include <utility>

#include "addon/keeper_link.h"
#include "addon/values.h"
#include "kernel/features.h"
#include "kernel/replace_process.h"
#include "kernel/sock_diag.h"
#include "kernel/socket_label.h"
#include "kernel/unix_socket.h"
#include "notify/engine.h"
#include "switch/socket_guard.h"
#include "tunnel/tun_probe.h"

namespace sockswitch::addon {
namespace {

// The errno's name, "EPERM"; "" where sockets can be guarded.
std::string obstacle_of(const GuardSource& guard) {
  return guard.available() ? "" : ErrnoError(guard.problem(), "sockswitch-guard").code();
}

GuardSource::Paths guard_paths(const Napi::Object& options) {
  return {.program = get_string(options, "guardProgram"),
          .socket = get_string(options, "guardSocket")};
}

// Undefined where services see the names of their true clients.
Napi::Value names_problem(Napi::Env env, const PeerNames& names) {
  if (names.available()) return env.Undefined();
  const auto stage = [&] {
    switch (names.problem().stage) {
      case NamesStage::kCgroup:
        return "cgroup";
      case NamesStage::kDelegated:
        return "delegated";
      case NamesStage::kLoad:
        return "load";
      case NamesStage::kAttach:
        return "attach";
      case NamesStage::kTried:
        return "tried";
      case NamesStage::kDone:
      case NamesStage::kAnswer:
        break;
    }
    return "answer";
  };
  auto object = Napi::Object::New(env);
  object.Set("stage", stage());
  object.Set("error", ErrnoError(names.problem().error, "sockswitch-names").code());
  return object;
}

PeerNames::Paths names_paths(const Napi::Object& options) {
  return {.program = get_string(options, "namesProgram"),
          .socket = get_string(options, "namesSocket")};
}

RepinPaths repin_paths(const Napi::Object& options) {
  return {.program = get_string(options, "repinProgram"),
          .socket = get_string(options, "repinSocket")};
}

// Events on their way to JS, by a thread-safe function that does not keep the process alive.
class Events {
 public:
  explicit Events(const Napi::Object& options)
      : call_(Napi::ThreadSafeFunction::New(options.Env(), get_function(options, "onEvents"),
                                            "sockswitch events", 0, 1)) {
    call_.Unref(options.Env());
  }

  void report(ListenerEvent event) {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    auto held = std::make_unique<ListenerEvent>(std::move(event));
    auto deliver = [](Napi::Env env, Napi::Function handler, ListenerEvent* raw) {
      std::unique_ptr<ListenerEvent> owned(raw);
      run_handler(env, [&] {
        auto batch = Napi::Array::New(env, 1);
        batch.Set(0U, to_js(env, *owned));
        handler.Call({batch});
      });
    };
    if (call_.NonBlockingCall(held.get(), deliver) == napi_ok) {
      [[maybe_unused]] auto* theirs = held.release();
    }
  }

  // What is reported later goes nowhere.
  void close() {
    std::lock_guard lock(mutex_);
    if (!std::exchange(closed_, true)) call_.Release();
  }

 private:
  std::mutex mutex_;
  bool closed_ = false;
  Napi::ThreadSafeFunction call_;
};

class EngineObject {
 public:
  explicit EngineObject(const Napi::Object& options) : events_(std::make_shared<Events>(options)) {
    GuardSource guard(guard_paths(options), get_bool(options, "requireGuard"));
    guard_obstacle_ = obstacle_of(guard);
    auto report = [events = events_](ListenerEvent event) { events->report(std::move(event)); };
    PeerNames names(names_paths(options));
    engine_ = std::make_unique<Engine>(get_string(options, "netnsProgram"), std::move(guard),
                                       std::move(names), repin_paths(options), report);
  }

  Engine& engine() {
    if (!engine_) throw std::logic_error("the engine has been stopped");
    return *engine_;
  }

  const std::string& guard_obstacle() const { return guard_obstacle_; }

  void stop() {
    if (!engine_) return;
    if (engine_->stop()) {
      engine_.reset();
    } else {
      // Its threads need it as long as the process lives.
      [[maybe_unused]] auto* left = engine_.release();
    }
    events_->close();
  }

 private:
  std::shared_ptr<Events> events_;
  std::string guard_obstacle_;
  std::unique_ptr<Engine> engine_;
};

using Shared = std::shared_ptr<EngineObject>;

template <typename Body>
void method(Napi::Object& object, const char* name, const Shared& shared, Body body) {
  Napi::Env env = object.Env();
  object.Set(name, Napi::Function::New(env, [shared, body](const Napi::CallbackInfo& info) {
               return guarded(info.Env(), [&]() -> Napi::Value { return body(info, *shared); });
             }));
}

std::uint64_t listener_number(const Napi::CallbackInfo& info) {
  return static_cast<std::uint64_t>(get_integer(info, 0));
}

UniqueFd duplicate_of(int fd) {
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy) throw_errno("fcntl", "F_DUPFD_CLOEXEC");
  return copy;
}

Napi::Value attach(const Napi::CallbackInfo& info, EngineObject& object) {
  Napi::Object options = get_object(info, 0);
  int fd = get_int(options, "fd");
  int record = get_int(options, "record");
  auto number = object.engine().attach(
      duplicate_of(fd), duplicate_of(record), get_int(options, "pid"), get_netns(options, "netns"),
      get_string(options, "container"), get_policy(options.Get("policy"), object.engine()));
  // The caller's, until now: it may try again.
  UniqueFd(fd).reset();
  UniqueFd(record).reset();
  return Napi::Number::New(info.Env(), static_cast<double>(number));
}

Napi::Value explain(const Napi::CallbackInfo& info, EngineObject& object) {
  Napi::Env env = info.Env();
  std::string text = get_string(info, 1);
  auto address = Address::parse(text);
  if (!address) throw Napi::TypeError::New(env, "not a numeric address: " + text);
  Destination to{*address, static_cast<std::uint16_t>(get_integer(info, 2)), 0};
  std::string detail;
  std::string device;
  const int protocol = get_string(info, 3) == "udp" ? IPPROTO_UDP : IPPROTO_TCP;
  RouteDecision decision =
      object.engine().explain(listener_number(info), protocol, to,
                              static_cast<pid_t>(get_integer(info, 4)), detail, device);
  auto verdict = Napi::Object::New(env);
  verdict.Set("outcome", sockswitch::info(decision.outcome).name);
  verdict.Set("detail", detail);
  if (!device.empty()) verdict.Set("device", device);
  return verdict;
}

Napi::Value reservation_to_js(Napi::Env env, const Engine::Reservation& reservation) {
  auto object = Napi::Object::New(env);
  object.Set("number", static_cast<double>(reservation.number));
  object.Set("fd", reservation.fd);
  return object;
}

Napi::Value adopt(const Napi::CallbackInfo& info, EngineObject& object) {
  UniqueFd fd(static_cast<int>(get_integer(info, 1)));
  return reservation_to_js(info.Env(),
                           object.engine().adopt(get_mapping(get_object(info, 0)), std::move(fd)));
}

// What holds a port of the host.
Napi::Value port_holders(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    int protocol = get_string(info, 0) == "udp" ? IPPROTO_UDP : IPPROTO_TCP;
    auto array = Napi::Array::New(env);
    for (const PortHolder& holder :
         find_port_holders(protocol, static_cast<std::uint16_t>(get_integer(info, 1)))) {
      auto object = Napi::Object::New(env);
      object.Set("inode", holder.inode);
      object.Set("uid", holder.uid);
      array.Set(array.Length(), object);
    }
    return array;
  });
}

Napi::Value create_engine(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    auto shared = std::make_shared<EngineObject>(get_object(info, 0));
    auto object = Napi::Object::New(env);
    object.Set("guardsSockets", shared->engine().guards_sockets());
    object.Set("guardObstacle", shared->guard_obstacle());
    object.Set("namesProblem", names_problem(env, shared->engine().names()));
    auto links = Napi::Array::New(env);
    for (const UniqueFd& link : shared->engine().names().links()) {
      links.Set(links.Length(), link.get());
    }
    object.Set("nameLinks", links);
    method(object, "attach", shared, attach);
    method(object, "explain", shared, explain);
    method(object, "setPolicy", shared, [](const Napi::CallbackInfo& call, EngineObject& self) {
      self.engine().set_policy(listener_number(call), get_policy(call[1], self.engine()));
      return call.Env().Undefined();
    });
    method(object, "obstacle", shared, [](const Napi::CallbackInfo& call, EngineObject& self) {
      return Napi::String::New(call.Env(), self.engine().obstacle(listener_number(call)));
    });
    method(object, "unlistedService", shared,
           [](const Napi::CallbackInfo& call, EngineObject& self) {
             return Napi::String::New(call.Env(),
                                      self.engine().unlisted_service(listener_number(call)));
           });
    method(object, "isConnected", shared, [](const Napi::CallbackInfo& call, EngineObject& self) {
      return Napi::Boolean::New(call.Env(), self.engine().is_connected(get_string(call, 0)));
    });
    method(object, "adopt", shared, adopt);
    method(object, "reserve", shared, [](const Napi::CallbackInfo& call, EngineObject& self) {
      return reservation_to_js(call.Env(), self.engine().reserve(get_mapping(get_object(call, 0))));
    });
    method(object, "release", shared, [](const Napi::CallbackInfo& call, EngineObject& self) {
      self.engine().release(static_cast<std::uint64_t>(get_integer(call, 0)));
      return call.Env().Undefined();
    });
    method(object, "lostDatagrams", shared, [](const Napi::CallbackInfo& call, EngineObject& self) {
      auto number = static_cast<std::uint64_t>(get_integer(call, 0));
      return Napi::Number::New(call.Env(),
                               static_cast<double>(self.engine().lost_datagrams(number)));
    });
    method(object, "counters", shared, [](const Napi::CallbackInfo& call, EngineObject& self) {
      return to_js(call.Env(), self.engine().counters(listener_number(call)));
    });
    method(object, "latency", shared, [](const Napi::CallbackInfo& call, EngineObject& self) {
      return to_js(call.Env(), self.engine().latency(listener_number(call)));
    });
    method(object, "nestedNetworks", shared,
           [](const Napi::CallbackInfo& call, EngineObject& self) {
             auto count = self.engine().nested_networks(listener_number(call));
             return Napi::Number::New(call.Env(), static_cast<double>(count));
           });
    method(object, "descriptors", shared, [](const Napi::CallbackInfo& call, EngineObject& self) {
      const Engine::Descriptors found = self.engine().descriptors(listener_number(call));
      auto result = Napi::Object::New(call.Env());
      result.Set("fd", found.fd);
      result.Set("record", found.record);
      return result;
    });
    method(object, "watchTunnels", shared, [](const Napi::CallbackInfo& call, EngineObject& self) {
      self.engine().watch_tunnels(listener_number(call), static_cast<pid_t>(get_integer(call, 1)));
      return call.Env().Undefined();
    });
    method(object, "openTunnels", shared, [](const Napi::CallbackInfo& call, EngineObject& self) {
      self.engine().tunnels().open(listener_number(call), get_tunnel_options(get_object(call, 1)));
      return call.Env().Undefined();
    });
    method(object, "closeTunnels", shared, [](const Napi::CallbackInfo& call, EngineObject& self) {
      self.engine().tunnels().close(listener_number(call));
      return call.Env().Undefined();
    });
    method(object, "tunnels", shared,
           [](const Napi::CallbackInfo& call, EngineObject& self) -> Napi::Value {
             auto status = self.engine().tunnels().status(listener_number(call));
             if (!status) return call.Env().Undefined();
             return to_js(call.Env(), *status);
           });
    method(object, "forget", shared, [](const Napi::CallbackInfo& call, EngineObject& self) {
      self.engine().forget(listener_number(call));
      return call.Env().Undefined();
    });
    method(object, "stop", shared, [](const Napi::CallbackInfo& call, EngineObject& self) {
      self.stop();
      return call.Env().Undefined();
    });
    // A process that ends without stop(): the threads end before the addon's memory goes away.
    env.AddCleanupHook([shared] { shared->stop(); });
    return object;
  });
}

Napi::Value kernel_features(const Napi::CallbackInfo& info) {
  KernelFeatures features = probe_kernel();
  auto object = Napi::Object::New(info.Env());
  object.Set("userNotif", features.user_notif);
  object.Set("addfd", features.addfd);
  object.Set("syncWakeUp", features.sync_wake_up);
  object.Set("waitKillable", features.wait_killable);
  object.Set("pidfdThread", features.pidfd_thread);
  object.Set("netnsCookie", features.netns_cookie);
  object.Set("kcmp", features.kcmp);
  object.Set("listenerInUse", features.listener_in_use);
  object.Set("pinningProblem", features.pinning_problem);
  return object;
}

Napi::Value tun_support(const Napi::CallbackInfo& info) {
  const tunnel::TunSupport support = tunnel::probe_tun();
  auto object = Napi::Object::New(info.Env());
  object.Set("segments", support.segments);
  object.Set("problem", support.problem);
  return object;
}

Napi::Value remove_tunnel_rules(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    tunnel::remove_leftovers(static_cast<pid_t>(get_integer(info, 0)), get_string(info, 1));
    return info.Env().Undefined();
  });
}

Napi::Value obstacle_to_guarding(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::String::New(info.Env(),
                             obstacle_of(GuardSource(guard_paths(get_object(info, 0)))));
  });
}

Napi::Value obstacle_to_repinning(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const int error = Repinner(repin_paths(get_object(info, 0))).obstacle();
    return Napi::String::New(info.Env(),
                             error == 0 ? "" : ErrnoError(error, "sockswitch-repin").code());
  });
}

Napi::Value obstacle_to_names(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return names_problem(info.Env(), PeerNames(names_paths(get_object(info, 0))));
  });
}

Napi::Value obstacle_to_labelling(const Napi::CallbackInfo& info) {
  const SocketLabel label(get_string(info, 0));
  return Napi::String::New(info.Env(), label.obstacle());
}

Napi::Value peer_credentials_of(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    struct ucred peer = peer_credentials(static_cast<int>(get_integer(info, 0)));
    auto object = Napi::Object::New(info.Env());
    object.Set("pid", peer.pid);
    object.Set("uid", peer.uid);
    object.Set("gid", peer.gid);
    return object;
  });
}

Napi::Value tcp_sockets(const Napi::CallbackInfo& info) {
  return guarded(info.Env(),
                 [&]() -> Napi::Value { return to_js(info.Env(), list_tcp_sockets()); });
}

Napi::Value execute(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    replace_process(get_strings(get_object(info, 0), "argv"));
  });
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("outcomes", outcomes_to_js(env));
  exports.Set("kernelFeatures", Napi::Function::New(env, kernel_features));
  exports.Set("socketLabelObstacle", Napi::Function::New(env, obstacle_to_labelling));
  exports.Set("tunSupport", Napi::Function::New(env, tun_support));
  exports.Set("removeTunnelRules", Napi::Function::New(env, remove_tunnel_rules));
  exports.Set("guardObstacle", Napi::Function::New(env, obstacle_to_guarding));
  exports.Set("repinObstacle", Napi::Function::New(env, obstacle_to_repinning));
  exports.Set("namesObstacle", Napi::Function::New(env, obstacle_to_names));
  exports.Set("createEngine", Napi::Function::New(env, create_engine));
  exports.Set("connectKeeper", Napi::Function::New(env, connect_keeper));
  exports.Set("portHolders", Napi::Function::New(env, port_holders));
  exports.Set("tcpSockets", Napi::Function::New(env, tcp_sockets));
  exports.Set("execute", Napi::Function::New(env, execute));
  exports.Set("peerCredentials", Napi::Function::New(env, peer_credentials_of));
  return exports;
}

}  // namespace

NODE_API_MODULE(sockswitch, init)

}  // namespace sockswitch::addon
