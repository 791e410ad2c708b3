#include "tunnel/sender.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/errno_error.h"
#include "base/socket_name.h"
#include "kernel/endpoint.h"
#include "kernel/linux_abi.h"
#include "kernel/syscalls.h"
#include "tunnel/proof.h"

namespace sockswitch::tunnel {
namespace {

using std::chrono::seconds;

constexpr seconds kPatience{5};       // for everything from connecting to the first proof
constexpr seconds kProofInterval{3};  // between two proofs
constexpr seconds kProofLife{10};     // of one
constexpr seconds kSoon{2};           // to the next attempt with a peer that was up before
constexpr seconds kLate{30};          // the longest pause with one that never was
constexpr int kMaxBackoff = 4;        // doublings
constexpr int kUserTimeoutMs = 3000;  // without an acknowledgement: the cable is cut
// The socket takes no more than this beyond what is in flight, so it does not add to the delay.
constexpr int kUnsentBytes = 128 * 1024;
constexpr std::size_t kMaxAnswer = 1024;  // of the peer, unread

void set(int fd, int level, int name, int value) {
  ::setsockopt(fd, level, name, &value, sizeof value);
}

std::string endpoint_text(const Remote& remote) {
  return Destination{remote.address, remote.port, 0}.text();
}

// The kernel keeps a connection whose address was taken away, and it waits for answers in vain.
bool is_address_here(const Address& address) {
  const int domain = address.is_v4() ? AF_INET : AF_INET6;
  const UniqueFd fd(::socket(domain, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const SocketName name = SocketName::of(domain, address, 0);
  return !fd || ::bind(fd.get(), name.get(), name.length) == 0 || errno != EADDRNOTAVAIL;
}

std::string connect_problem(const Remote& peer, int error) {
  const std::string where = "TCP " + endpoint_text(peer) + ": ";
  if (error == ECONNREFUSED) return where + "no sockswitch with tunnels listens there";
  return where + ::strerror(error);
}

}  // namespace

const char* state_name(Sender::State state) {
  switch (state) {
    case Sender::State::kIdle:
      return "fallback";
    case Sender::State::kConnecting:
      return "connecting";
    case Sender::State::kGreeting:
      return "greeting";
    case Sender::State::kProving:
      return "proving";
    case Sender::State::kUp:
      break;
  }
  return "up";
}

Sender::Sender(Ways& ways, const Remote& peer) : ways_(ways), peer_(peer) {
  guarded([this] { start(); });
}

// No error of a system call leaves this class: it is why the way is not there.
void Sender::guarded(const std::function<void()>& work) {
  try {
    work();
  } catch (const ErrnoError& error) {
    fail(error.what());
  }
}

Sender::~Sender() {
  failures_ = 0;
  if (state_ != State::kIdle) fail("it is no remote of the tunnel any more");
}

void Sender::enter(State state) {
  state_ = state;
  since_ = std::chrono::system_clock::now();
}

void Sender::start() {
  const Permission permission = ways_.permission(peer_, true);
  denied_ = !permission.allowed;
  if (denied_) return fail(permission.reason);
  const int domain = peer_.address.is_v4() ? AF_INET : AF_INET6;
  UniqueFd fd(::socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return fail(std::string("socket: ") + ::strerror(errno));
  if (::setsockopt(fd.get(), SOL_SOCKET, sockswitch::abi::kSoBindToIfindex, &permission.device,
                   sizeof permission.device) != 0) {
    return fail(std::string("SO_BINDTOIFINDEX: ") + ::strerror(errno));
  }
  if (permission.source) {
    const SocketName own = SocketName::of(domain, *permission.source, 0);
    set(fd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    if (::bind(fd.get(), own.get(), own.length) != 0) {
      return fail("bind to " + permission.source->text() + ": " + ::strerror(errno));
    }
  }
  set(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1);
  set(fd.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, kUserTimeoutMs);
  set(fd.get(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, kUnsentBytes);
  const int result = start_connect(fd.get(), SocketName::of(domain, peer_.address, peer_.port));
  if (result != 0 && result != EINPROGRESS) return fail(connect_problem(peer_, result));
  device_ = permission.device;
  socket_ = std::make_shared<UniqueFd>(std::move(fd));
  deadline_ = Clock::now() + kPatience;
  enter(State::kConnecting);
  key_ = ways_.reactor().watch(*this, {socket_->get()}, EPOLLOUT);
  if (result == 0) connected();
}

void Sender::connected() {
  const int error = int_option(socket_->get(), SOL_SOCKET, SO_ERROR).value_or(EIO);
  if (error != 0) return fail(connect_problem(peer_, error));
  nonce_ = fresh_nonce();
  const auto hello = hello_message({kVersion, nonce_});
  if (::send(socket_->get(), hello.data(), hello.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(hello.size())) {
    return fail(std::string("send: ") + ::strerror(errno));
  }
  ways_.reactor().set_events(key_, socket_->get(), EPOLLIN | EPOLLRDHUP);
  enter(State::kGreeting);
}

void Sender::ready() {
  if (state_ == State::kIdle) return;
  guarded([this] {
    if (state_ == State::kConnecting) return connected();
    read_answers();
  });
}

void Sender::read_answers() {
  std::array<std::uint8_t, kMaxAnswer> buffer{};
  const ssize_t got = ::recv(socket_->get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got < 0) return fail(std::string("recv: ") + ::strerror(errno));
  if (got == 0) return fail("the peer has closed the connection");
  received_.insert(received_.end(), buffer.begin(), buffer.begin() + got);
  std::size_t at = 0;
  while (state_ != State::kIdle && received_.size() - at >= kHeaderSize) {
    const Bytes rest = Bytes(received_).subspan(at);
    const auto header = read_header(rest);
    if (!header || header->size > kMaxAnswer) {
      return fail("what listens there does not keep to the wire format");
    }
    if (rest.size() < kHeaderSize + header->size) break;
    at += kHeaderSize + header->size;
    const std::vector<std::uint8_t> body(rest.begin() + kHeaderSize,
                                         rest.begin() + kHeaderSize + header->size);
    take(*header, body);
  }
  if (state_ == State::kIdle) return;  // fail() has emptied it
  received_.erase(received_.begin(), received_.begin() + static_cast<std::ptrdiff_t>(at));
}

void Sender::take(const MessageHeader& header, Bytes body) {
  if (header.type == MessageType::kRefused) return fail("refused: " + read_refusal(body));
  if (header.type == MessageType::kReady && state_ == State::kGreeting) {
    const auto ready = read_ready(body);
    if (!ready || ready->version != kVersion) return fail("the peer speaks another version");
    takes_segments_ = (ready->features & kTakesSegments) != 0;
    enter(State::kProving);
    outstanding_ = true;
    return prove(true);
  }
  if (header.type == MessageType::kProved && (state_ == State::kProving || state_ == State::kUp)) {
    return proved(*read_nonce(body));
  }
  fail("what listens there does not keep to the wire format");
}

void Sender::prove(bool first) {
  const std::string problem = ways_.probe(peer_, nonce_, first);
  if (problem.empty() || state_ != State::kProving) return;
  fail(problem);
}

void Sender::proved(const Nonce& nonce) {
  if (!outstanding_ || nonce != nonce_) return;  // of an earlier proof, late
  outstanding_ = false;
  const auto now = Clock::now();
  last_proof_ = now;
  next_proof_ = now + kProofInterval;
  if (state_ == State::kUp) return lead();  // the container may have removed the route
  outbound_ = std::make_shared<OutboundPeer>();
  outbound_->remote = peer_;
  outbound_->socket = socket_;
  outbound_->takes_segments = takes_segments_;
  outbound_->counters = counters_;
  ways_.outbound().add(outbound_);
  enter(State::kUp);
  reason_.clear();
  failures_ = 0;
  was_up_ = true;
  lead();
  if (state_ == State::kUp) ways_.report(true, peer_, "");
}

void Sender::lead() {
  try {
    ways_.came(peer_);
  } catch (const ErrnoError& error) {
    fail(error.what());
  }
}

void Sender::tick() {
  guarded([this] { advance(); });
}

void Sender::advance() {
  const auto now = Clock::now();
  if (state_ != State::kIdle) {
    if (const std::string reason = why_not_still(); !reason.empty()) return fail(reason);
  }
  switch (state_) {
    case State::kIdle:
      if (now >= retry_ || (denied_ && ways_.permission(peer_, false).allowed)) start();
      break;
    case State::kProving:
      if (now < deadline_) return prove();  // the first may have been lost
      fail("UDP " + endpoint_text(peer_) +
           " does not lead there over the fallback network: is the port published, and open in "
           "firewalls?");
      break;
    case State::kConnecting:
    case State::kGreeting:
      if (now >= deadline_) fail(connect_problem(peer_, ETIMEDOUT));
      break;
    case State::kUp:
      if (now - last_proof_ > kProofLife) {
        return fail("the fallback network has not led there for " +
                    std::to_string(kProofLife.count()) + " s");
      }
      if (outstanding_) return prove();
      if (now < next_proof_) return;
      nonce_ = fresh_nonce();
      outstanding_ = true;
      ways_.outbound().send(outbound_, nonce_message(MessageType::kProbe, nonce_));
      prove();
      break;
  }
}

// Policy, routes and packet filters may have changed since the connection was made.
std::string Sender::why_not_still() const {
  const Permission permission = ways_.permission(peer_, true);
  if (!permission.allowed) return permission.reason;
  if (permission.device != device_) {
    return "the host's route to " + endpoint_text(peer_) + " leads by another device now";
  }
  const auto own = own_endpoint(socket_->get());
  if (own && !is_address_here(own->first)) {
    return "the host has no address " + own->first.text() + " any more";
  }
  return {};
}

void Sender::hurry() {
  if (state_ == State::kIdle) retry_ = {};
}

void Sender::lost(const OutboundPeer* peer, int error) {
  if (outbound_.get() == peer) fail(std::string("send: ") + ::strerror(error));
}

void Sender::fail(const std::string& reason) {
  const bool was_up = state_ == State::kUp;
  if (was_up) ways_.went(peer_);
  if (outbound_) ways_.outbound().remove(outbound_);
  outbound_.reset();
  if (socket_) {
    ways_.reactor().unwatch(key_, {socket_->get()});
    // The sending thread may have it still; its end is not to wait for that.
    ::shutdown(socket_->get(), SHUT_RDWR);
    socket_.reset();
  }
  received_.clear();
  outstanding_ = false;
  const bool news = was_up || reason != reason_;
  reason_ = reason;
  enter(State::kIdle);
  const seconds pause =
      was_up_ ? kSoon : std::min(kSoon * (1 << std::min(failures_, kMaxBackoff)), kLate);
  ++failures_;
  retry_ = Clock::now() + pause;
  if (news) ways_.report(false, peer_, reason);
}

std::uint32_t Sender::round_trip_us() const {
  tcp_info information{};
  socklen_t length = sizeof information;
  if (!socket_ || ::getsockopt(socket_->get(), IPPROTO_TCP, TCP_INFO, &information, &length) != 0) {
    return 0;
  }
  return information.tcpi_rtt;
}

}  // namespace sockswitch::tunnel
