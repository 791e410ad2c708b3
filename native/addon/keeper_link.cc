// Theory of operation.
//
// The socket is watched by libuv; each packet (programs/keeper_protocol.h) becomes one call of a JS
// handler. connect_keeper() itself waits for the first packet and looks at it, so that "another
// daemon is connected" is an error of the call. The link keeps itself alive until it is closed,
// from either side; closing is final, and libuv frees the watcher in its own time.
#include "addon/keeper_link.h"

#include <poll.h>
#include <sys/socket.h>
#include <uv.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include "addon/values.h"
#include "kernel/unix_socket.h"
#include "programs/keeper_protocol.h"

namespace sockswitch::addon {
namespace {

// The longest that the keeper may take to read what we send, or to speak first.
constexpr int kPatienceMs = 2000;

class KeeperLink {
 public:
  KeeperLink(Napi::Env env, UniqueFd fd, const Napi::Object& handlers)
      : env_(env),
        fd_(std::move(fd)),
        on_listener_(Napi::Persistent(get_function(handlers, "onListener"))),
        on_kept_(Napi::Persistent(get_function(handlers, "onKept"))),
        on_refused_(Napi::Persistent(get_function(handlers, "onRefused"))),
        on_ready_(Napi::Persistent(get_function(handlers, "onReady"))),
        on_close_(Napi::Persistent(get_function(handlers, "onClose"))) {}

  // Starts watching; `self` is given back when the link is closed.
  static void start(const std::shared_ptr<KeeperLink>& self) {
    uv_loop_t* loop = nullptr;
    napi_get_uv_event_loop(self->env_, &loop);
    uv_poll_init(loop, &self->poll_, self->fd_.get());
    self->poll_.data = self.get();
    uv_poll_start(&self->poll_, UV_READABLE, [](uv_poll_t* poll, int, int) {
      static_cast<KeeperLink*>(poll->data)->readable();
    });
    self->self_ = self;
  }

  void send(KeeperMessage type, std::uint64_t id) {
    if (!self_) return;
    KeeperHeader header{.type = type, .id = id};
    struct iovec part{&header, sizeof header};
    send_patiently(std::span(&part, 1), {});
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
    uv_close(reinterpret_cast<uv_handle_t*>(&poll_),
             [](uv_handle_t* handle) { static_cast<KeeperLink*>(handle->data)->self_.reset(); });
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
        return given(on_listener_, "state", header.id, std::move(message), text);
      case KeeperMessage::kKept:
        return given(on_kept_, "text", header.id, std::move(message), text);
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
        break;
    }
    lost("unexpected packet");
  }

 private:
  // A thousand ports are more than the socket holds. The keeper never waits for us, so waiting for
  // it ends. Throws ErrnoError (ETIMEDOUT: it hangs).
  void send_patiently(std::span<const struct iovec> parts, std::span<const int> fds) {
    while (!send_message(fd_.get(), parts, fds)) {
      struct pollfd room{.fd = fd_.get(), .events = POLLOUT};
      if (::poll(&room, 1, kPatienceMs) <= 0) throw ErrnoError(ETIMEDOUT, "send", "to the keeper");
    }
  }

  void readable() {
    Napi::HandleScope scope(env_);
    try {
      handle(receive_message(fd_.get(), sizeof(KeeperHeader) + kMaxStateBytes));
    } catch (const ErrnoError& error) {
      if (error.error() != EAGAIN) lost(error.what());
    }
  }

  void given(const Napi::FunctionReference& handler, const char* name, std::uint64_t id,
             Message message, const std::string& text) {
    if (message.fds.size() != 1) return lost("a packet without its descriptor");
    auto object = Napi::Object::New(env_);
    object.Set("id", static_cast<double>(id));
    object.Set("fd", message.fds.front().release());  // the handler's from here on
    object.Set(name, text);
    call(handler, {object});
  }

  void lost(const std::string& reason) {
    close();
    call(on_close_, {Napi::String::New(env_, reason)});
  }

  void call(const Napi::FunctionReference& handler, const std::vector<napi_value>& arguments) {
    handler.MakeCallback(env_.Global(), arguments);
  }

  Napi::Env env_;
  UniqueFd fd_;
  uv_poll_t poll_{};
  std::shared_ptr<KeeperLink> self_;
  Napi::FunctionReference on_listener_;
  Napi::FunctionReference on_kept_;
  Napi::FunctionReference on_refused_;
  Napi::FunctionReference on_ready_;
  Napi::FunctionReference on_close_;
};

// The keeper speaks first. Throws ErrnoError: EBUSY, or ETIMEDOUT if it is silent.
void await_welcome(int fd) {
  struct pollfd state{.fd = fd, .events = POLLIN};
  if (::poll(&state, 1, kPatienceMs) <= 0) throw ErrnoError(ETIMEDOUT, "connect", "to the keeper");
  KeeperHeader header;
  ssize_t got = ::recv(fd, &header, sizeof header, MSG_PEEK);
  if (got == sizeof header && header.type == KeeperMessage::kBusy) {
    throw ErrnoError(EBUSY, "connect", "to the keeper");
  }
}

}  // namespace

Napi::Value connect_keeper(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    UniqueFd fd = unix_connect(get_string(info, 0), SOCK_SEQPACKET | SOCK_NONBLOCK);
    await_welcome(fd.get());
    auto link = std::make_shared<KeeperLink>(env, std::move(fd), get_object(info, 1));
    KeeperLink::start(link);
    auto object = Napi::Object::New(env);
    object.Set("shutdown", Napi::Function::New(env, [link](const Napi::CallbackInfo& call) {
                 bool force = call[0].ToBoolean();
                 guarded(call.Env(), [&] { link->send(KeeperMessage::kShutdown, force ? 1 : 0); });
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
    object.Set("close",
               Napi::Function::New(env, [link](const Napi::CallbackInfo&) { link->close(); }));
    return object;
  });
}

}  // namespace sockswitch::addon
