// Theory of operation.
//
// The socket is watched by libuv; each packet (protocol/keeper_protocol.h) becomes one call of a JS
// handler. connect_keeper() itself waits for the first packet and takes it, so that "another
// daemon is connected" is an error of the call, and the keeper's version and listening socket are
// there when it returns. The link keeps itself alive until it is closed, from either side; closing
// is final, and libuv frees the watcher in its own time.
//
// A packet's descriptors are lost where the process may not open that many more. So each packet is
// left in the socket, and JS is told, until there are a few to spare; JS asks again by resume().
#include "addon/keeper_link.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <uv.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include "addon/values.h"
#include "kernel/listener_record.h"
#include "kernel/unix_socket.h"
#include "protocol/keeper_protocol.h"

namespace sockswitch::addon {
namespace {

// The longest that the keeper may take to read what we send, or to speak first.
constexpr int kPatienceMs = 2000;

// To be free before a packet is taken: for what it may bring, and for other threads and clients,
// who open files meanwhile.
constexpr std::size_t kSpareDescriptors = 16;

bool has_spare_descriptors(int any) {
  std::array<UniqueFd, kSpareDescriptors> spare;
  for (UniqueFd& fd : spare) {
    fd = UniqueFd(::fcntl(any, F_DUPFD_CLOEXEC, 0));
    if (!fd) return false;
  }
  return true;
}

class KeeperLink {
 public:
  KeeperLink(Napi::Env env, UniqueFd fd, bool same_version, const Napi::Object& handlers)
      : env_(env),
        fd_(std::move(fd)),
        same_version_(same_version),
        on_listener_(Napi::Persistent(get_function(handlers, "onListener"))),
        on_kept_(Napi::Persistent(get_function(handlers, "onKept"))),
        on_refused_(Napi::Persistent(get_function(handlers, "onRefused"))),
        on_ready_(Napi::Persistent(get_function(handlers, "onReady"))),
        on_shortage_(Napi::Persistent(get_function(handlers, "onShortage"))),
        on_close_(Napi::Persistent(get_function(handlers, "onClose"))) {}

  // Starts watching; `self` is given back when the link is closed.
  static void start(const std::shared_ptr<KeeperLink>& self) {
    uv_loop_t* loop = nullptr;
    napi_get_uv_event_loop(self->env_, &loop);
    uv_poll_init(loop, &self->poll_, self->fd_.get());
    self->poll_.data = self.get();
    self->self_ = self;
    self->watch();
  }

  // After a shortage of descriptors; false while there still is one.
  bool resume() {
    if (!self_) return true;
    if (!has_spare_descriptors(fd_.get())) return false;
    watch();
    return true;
  }

  // False if the keeper takes nothing now, or is gone.
  bool send(KeeperMessage type, std::uint64_t id, std::span<const int> fds = {}) {
    if (!self_) return false;
    KeeperHeader header{.type = type, .id = id};
    struct iovec part{&header, sizeof header};
    if (type == KeeperMessage::kHold) return send_message(fd_.get(), std::span(&part, 1), fds);
    send_patiently(std::span(&part, 1), fds);
    return true;
  }

  void keep(std::uint64_t id, int fd, const std::string& text) {
    if (!self_) return;
    KeeperHeader header{
        .type = KeeperMessage::kKeep, .id = id, .length = static_cast<std::uint32_t>(text.size())};
    std::array<struct iovec, 2> parts{
        {{&header, sizeof header}, {const_cast<char*>(text.data()), text.size()}}};
    send_patiently(parts, std::span(&fd, 1));
  }

  void close() {
    if (!self_) return;
    uv_poll_stop(&poll_);
    uv_close(reinterpret_cast<uv_handle_t*>(&poll_), [](uv_handle_t* handle) {
      auto self = std::move(static_cast<KeeperLink*>(handle->data)->self_);
      // Not when the last function that JS has of this link is collected: until then the
      // keeper would take the next link for that of another daemon.
      self->fd_.reset();
    });
  }

  // Handles one packet; false if it says that the link is of no use.
  void handle(Message message) {
    KeeperHeader header;
    if (message.end) return lost("the keeper ended");
    if (message.truncated || message.bytes.size() < sizeof header) return lost("malformed packet");
    std::memcpy(&header, message.bytes.data(), sizeof header);
    std::string text = message.bytes.substr(sizeof header);
    if (header.magic != kKeeperMagic || header.length != text.size()) {
      return lost("a keeper of another version");
    }
    switch (header.type) {
      case KeeperMessage::kListener:
        return listener(header.id, std::move(message));
      case KeeperMessage::kKept:
        return kept(header.id, std::move(message), text);
      case KeeperMessage::kRefused:
        return call(on_refused_, {Napi::String::New(env_, text)});
      case KeeperMessage::kReady:
        return call(on_ready_, {});
      case KeeperMessage::kBusy:
        return lost("another daemon is connected to the keeper");
      case KeeperMessage::kForget:
      case KeeperMessage::kKeep:
      case KeeperMessage::kDrop:
      case KeeperMessage::kShutdown:
      case KeeperMessage::kHello:
      case KeeperMessage::kHold:
        break;
    }
    if (same_version_) lost("unexpected packet");
  }

 private:
  // A thousand ports are more than the socket holds. The keeper never waits for us, so waiting for
  // it ends. One that has gone takes nothing, and its end is told in its turn. Throws ErrnoError
  // (ETIMEDOUT: it hangs).
  void send_patiently(std::span<const struct iovec> parts, std::span<const int> fds) {
    try {
      while (!send_message(fd_.get(), parts, fds)) {
        struct pollfd room{.fd = fd_.get(), .events = POLLOUT};
        if (::poll(&room, 1, kPatienceMs) <= 0)
          throw ErrnoError(ETIMEDOUT, "send", "to the keeper");
      }
    } catch (const ErrnoError& error) {
      if (error.error() != EPIPE) throw;
    }
  }

  void watch() {
    uv_poll_start(&poll_, UV_READABLE, [](uv_poll_t* poll, int, int) {
      static_cast<KeeperLink*>(poll->data)->readable();
    });
  }

  void readable() {
    Napi::HandleScope scope(env_);
    if (!has_spare_descriptors(fd_.get())) {
      uv_poll_stop(&poll_);
      return call(on_shortage_, {});
    }
    try {
      handle(receive_message(fd_.get(), sizeof(KeeperHeader) + kMaxStateBytes));
    } catch (const ErrnoError& error) {
      if (error.error() != EAGAIN) lost(error.what());
    } catch (const std::exception& error) {  // libuv knows no exceptions
      lost(error.what());
    }
  }

  void kept(std::uint64_t id, Message message, const std::string& text) {
    if (message.fds.size() != 1) return lost("a packet without its descriptor");
    auto object = Napi::Object::New(env_);
    object.Set("id", static_cast<double>(id));
    object.Set("fd", message.fds.front().release());  // the handler's from here on
    object.Set("text", text);
    call(on_kept_, {object});
  }

  void listener(std::uint64_t id, Message message) {
    if (message.fds.size() != 2) return lost("a listener without its two descriptors");
    auto object = Napi::Object::New(env_);
    object.Set("id", static_cast<double>(id));
    try {
      object.Set("state", read_record_state(message.fds[1].get()));
    } catch (const ErrnoError&) {
      // Its calls wait for somebody all the same: served, with a state that nobody understands.
      message.fds[1] = make_record({});
      object.Set("state", "");
    }
    object.Set("fd", message.fds[0].release());  // the handler's from here on
    object.Set("record", message.fds[1].release());
    call(on_listener_, {object});
  }

  void lost(const std::string& reason) {
    close();
    call(on_close_, {Napi::String::New(env_, reason)});
  }

  void call(const Napi::FunctionReference& handler, const std::vector<napi_value>& arguments) {
    run_handler(env_, [&] { handler.MakeCallback(env_.Global(), arguments); });
  }

  Napi::Env env_;
  UniqueFd fd_;
  bool same_version_;
  uv_poll_t poll_{};
  std::shared_ptr<KeeperLink> self_;
  Napi::FunctionReference on_listener_;
  Napi::FunctionReference on_kept_;
  Napi::FunctionReference on_refused_;
  Napi::FunctionReference on_ready_;
  Napi::FunctionReference on_shortage_;
  Napi::FunctionReference on_close_;
};

struct Welcome {
  std::uint64_t version;
  UniqueFd listening;
};

// The keeper speaks first. Throws ErrnoError: EBUSY; ETIMEDOUT if it is silent; EPROTO if what it
// says is not what any version says.
Welcome await_welcome(int fd) {
  struct pollfd state{.fd = fd, .events = POLLIN};
  if (::poll(&state, 1, kPatienceMs) <= 0) throw ErrnoError(ETIMEDOUT, "connect", "to the keeper");
  Message message = receive_message(fd, sizeof(KeeperHeader));
  if (message.end) throw ErrnoError(ECONNREFUSED, "connect", "the keeper is ending");
  KeeperHeader header;
  if (message.bytes.size() == sizeof header) {
    std::memcpy(&header, message.bytes.data(), sizeof header);
    if (header.magic == kKeeperMagic && header.type == KeeperMessage::kBusy)
      throw ErrnoError(EBUSY, "connect", "to the keeper");
    if (header.magic == kKeeperMagic && header.type == KeeperMessage::kHello &&
        message.fds.size() == 1) {
      return {header.id, std::move(message.fds.front())};
    }
  }
  throw ErrnoError(EPROTO, "connect", "what listens there is no keeper of sockswitch");
}

}  // namespace

Napi::Value connect_keeper(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    UniqueFd fd = unix_connect(get_string(info, 0), SOCK_SEQPACKET | SOCK_NONBLOCK);
    Welcome welcome = await_welcome(fd.get());
    bool same_version = welcome.version == kKeeperVersion;
    auto link = std::make_shared<KeeperLink>(env, std::move(fd), same_version, get_object(info, 1));
    KeeperLink::start(link);
    auto object = Napi::Object::New(env);
    object.Set("version", static_cast<double>(welcome.version));
    object.Set("sameVersion", same_version);
    object.Set("listening", welcome.listening.release());  // JS's from here on
    object.Set("shutdown", Napi::Function::New(env, [link](const Napi::CallbackInfo& call) {
                 auto how = static_cast<std::uint64_t>(get_integer(call, 0));
                 guarded(call.Env(), [&] { link->send(KeeperMessage::kShutdown, how); });
               }));
    object.Set("hold", Napi::Function::New(env, [link](const Napi::CallbackInfo& call) {
                 const auto id = static_cast<std::uint64_t>(get_integer(call, 0));
                 const std::array<int, 2> fds = {static_cast<int>(get_integer(call, 1)),
                                                 static_cast<int>(get_integer(call, 2))};
                 const bool taken =
                     guarded(call.Env(), [&] { return link->send(KeeperMessage::kHold, id, fds); });
                 return Napi::Boolean::New(call.Env(), taken);
               }));
    object.Set("forget", Napi::Function::New(env, [link](const Napi::CallbackInfo& call) {
                 auto id = static_cast<std::uint64_t>(get_integer(call, 0));
                 guarded(call.Env(), [&] { link->send(KeeperMessage::kForget, id); });
               }));
    object.Set("keep", Napi::Function::New(env, [link](const Napi::CallbackInfo& call) {
                 auto id = static_cast<std::uint64_t>(get_integer(call, 0));
                 auto kept = static_cast<int>(get_integer(call, 1));
                 guarded(call.Env(), [&] { link->keep(id, kept, get_string(call, 2)); });
               }));
    object.Set("drop", Napi::Function::New(env, [link](const Napi::CallbackInfo& call) {
                 auto id = static_cast<std::uint64_t>(get_integer(call, 0));
                 guarded(call.Env(), [&] { link->send(KeeperMessage::kDrop, id); });
               }));
    object.Set("resume", Napi::Function::New(env, [link](const Napi::CallbackInfo& call) {
                 return Napi::Boolean::New(call.Env(), link->resume());
               }));
    object.Set("close",
               Napi::Function::New(env, [link](const Napi::CallbackInfo&) { link->close(); }));
    return object;
  });
}

}  // namespace sockswitch::addon
