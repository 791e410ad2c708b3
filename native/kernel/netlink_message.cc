#include "kernel/netlink_message.h"

#include <arpa/inet.h>
#include <endian.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "base/errno_error.h"

namespace sockswitch {
namespace {

// The kernel fills datagrams of a dump up to the reader's size, 32 KiB at most, except for single
// messages that are longer (links with many virtual functions).
constexpr std::size_t kBufferSize = std::size_t{64} * 1024;

constexpr int kBusy = 10;     // times what a question may take, on a machine that is busy
constexpr int kAttempts = 2;  // where a dump was interrupted by a change

std::size_t aligned(std::size_t size) { return NLMSG_ALIGN(size); }
static_assert(NLMSG_ALIGNTO == NLA_ALIGNTO);

}  // namespace

std::optional<std::uint16_t> NetlinkAttribute::big_endian16() const {
  auto value = number<std::uint16_t>();
  if (value) value = be16toh(*value);
  return value;
}

std::optional<std::uint32_t> NetlinkAttribute::big_endian32() const {
  auto value = number<std::uint32_t>();
  if (value) value = be32toh(*value);
  return value;
}

std::optional<std::uint64_t> NetlinkAttribute::big_endian64() const {
  auto value = number<std::uint64_t>();
  if (value) value = be64toh(*value);
  return value;
}

std::string_view NetlinkAttribute::text() const {
  std::string_view all(reinterpret_cast<const char*>(data.data()), data.size());
  return all.substr(0, all.find('\0'));
}

std::optional<Address> NetlinkAttribute::address() const {
  if (data.size() == sizeof(in_addr)) return Address::from_v4(*read_structure<in_addr>(data));
  if (data.size() == sizeof(in6_addr)) return Address::from_v6(*read_structure<in6_addr>(data));
  return {};
}

bool NetlinkAttributes::next(NetlinkAttribute& attribute) {
  auto header = read_structure<nlattr>(rest_);
  if (!header) return false;
  if (header->nla_len < sizeof(nlattr) || header->nla_len > rest_.size()) {
    ok_ = false;
    return false;
  }
  attribute.type = header->nla_type & NLA_TYPE_MASK;
  attribute.data = rest_.subspan(sizeof(nlattr), header->nla_len - sizeof(nlattr));
  rest_ = rest_.subspan(std::min(aligned(header->nla_len), rest_.size()));
  return true;
}

NetlinkBytes NetlinkMessage::attributes(std::size_t header_size) const {
  return payload.subspan(std::min(aligned(header_size), payload.size()));
}

bool NetlinkMessages::next(NetlinkMessage& message) {
  if (rest_.empty()) return false;
  auto header = read_structure<nlmsghdr>(rest_);
  if (!header || header->nlmsg_len < sizeof(nlmsghdr) || header->nlmsg_len > rest_.size()) {
    ok_ = false;
    return false;
  }
  message.type = header->nlmsg_type;
  message.flags = header->nlmsg_flags;
  message.sequence = header->nlmsg_seq;
  message.payload = rest_.subspan(sizeof(nlmsghdr), header->nlmsg_len - sizeof(nlmsghdr));
  rest_ = rest_.subspan(std::min(aligned(header->nlmsg_len), rest_.size()));
  return true;
}

NetlinkRequest::NetlinkRequest(std::uint16_t type, std::uint16_t flags)
    : flags_(flags | NLM_F_REQUEST) {
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = flags_;
  append(&header, sizeof header);
}

void NetlinkRequest::append(const void* data, std::size_t size) {
  const auto* from = static_cast<const std::uint8_t*>(data);
  bytes_.insert(bytes_.end(), from, from + size);
  bytes_.resize(aligned(bytes_.size()));
}

NetlinkRequest& NetlinkRequest::attribute(std::uint16_t type, NetlinkBytes data) {
  nlattr header{};
  header.nla_type = type;
  header.nla_len = static_cast<std::uint16_t>(sizeof header + data.size());
  append(&header, sizeof header);
  append(data.data(), data.size());
  return *this;
}

NetlinkRequest& NetlinkRequest::big_endian16(std::uint16_t type, std::uint16_t value) {
  return number<std::uint16_t>(type, htobe16(value));
}

NetlinkRequest& NetlinkRequest::big_endian32(std::uint16_t type, std::uint32_t value) {
  return number<std::uint32_t>(type, htobe32(value));
}

NetlinkRequest& NetlinkRequest::text(std::uint16_t type, std::string_view value) {
  const std::string terminated(value);
  return attribute(
      type, {reinterpret_cast<const std::uint8_t*>(terminated.c_str()), terminated.size() + 1});
}

NetlinkRequest& NetlinkRequest::address(std::uint16_t type, const Address& value) {
  NetlinkBytes all(value.bytes);
  return attribute(type, value.is_v4() ? all.last(sizeof(in_addr)) : all);
}

std::size_t NetlinkRequest::begin_nest(std::uint16_t type) {
  std::size_t nest = bytes_.size();
  attribute(type | NLA_F_NESTED, {});
  return nest;
}

void NetlinkRequest::end_nest(std::size_t nest) {
  auto size = static_cast<std::uint16_t>(bytes_.size() - nest);
  std::memcpy(bytes_.data() + nest + offsetof(nlattr, nla_len), &size, sizeof size);
}

NetlinkBytes NetlinkRequest::bytes(std::uint32_t sequence) {
  auto size = static_cast<std::uint32_t>(bytes_.size());
  std::memcpy(bytes_.data() + offsetof(nlmsghdr, nlmsg_len), &size, sizeof size);
  std::memcpy(bytes_.data() + offsetof(nlmsghdr, nlmsg_seq), &sequence, sizeof sequence);
  return bytes_;
}

NetlinkAnswer NetlinkAnswer::complete(std::vector<std::uint8_t> messages) {
  NetlinkAnswer answer;
  answer.status_ = NetlinkStatus::kComplete;
  answer.messages_ = std::move(messages);
  return answer;
}

NetlinkAnswer NetlinkAnswer::refused(int error) {
  NetlinkAnswer answer;
  answer.status_ = NetlinkStatus::kRefused;
  answer.error_ = error;
  answer.reason_ = ::strerror(error);
  return answer;
}

NetlinkAnswer NetlinkAnswer::unknown(int error, std::string reason) {
  NetlinkAnswer answer;
  answer.error_ = error;
  answer.reason_ = std::move(reason);
  return answer;
}

std::optional<NetlinkMessage> NetlinkAnswer::first() const {
  NetlinkMessage message;
  if (!messages().next(message)) return {};
  return message;
}

NetlinkAnswerReader::Progress NetlinkAnswerReader::take(NetlinkBytes datagram) {
  NetlinkMessages walk(datagram);
  for (NetlinkMessage message; walk.next(message);) {
    if (message.sequence != sequence_) continue;  // a late answer to an earlier question
    Progress progress = take(message);
    if (progress != Progress::kMore) return progress;
  }
  return walk.ok() ? Progress::kMore : Progress::kMalformed;
}

NetlinkAnswerReader::Progress NetlinkAnswerReader::take(const NetlinkMessage& message) {
  if ((message.flags & NLM_F_DUMP_INTR) != 0) interrupted_ = true;
  if (message.type == NLMSG_ERROR || message.type == NLMSG_DONE) {
    // Both begin with the errno, negative; a dump that fails half-way says so in NLMSG_DONE.
    auto error = read_structure<std::int32_t>(message.payload);
    if (!error && message.type == NLMSG_ERROR) return Progress::kMalformed;
    return end(error.value_or(0));
  }
  if (message.type == NLMSG_OVERRUN) return Progress::kMalformed;
  if (message.type < NLMSG_MIN_TYPE) return Progress::kMore;  // NLMSG_NOOP
  nlmsghdr header{};
  header.nlmsg_len = static_cast<std::uint32_t>(sizeof header + message.payload.size());
  header.nlmsg_type = message.type;
  header.nlmsg_flags = message.flags;
  header.nlmsg_seq = message.sequence;
  if (messages_.size() + aligned(header.nlmsg_len) > limit_) return Progress::kTooLong;
  const auto* from = reinterpret_cast<const std::uint8_t*>(&header);
  messages_.insert(messages_.end(), from, from + sizeof header);
  messages_.insert(messages_.end(), message.payload.begin(), message.payload.end());
  messages_.resize(aligned(messages_.size()));
  return dump_ || acknowledged_ ? Progress::kMore : end(0);
}

NetlinkAnswerReader::Progress NetlinkAnswerReader::end(int error) {
  if (interrupted_) return Progress::kInterrupted;
  if (error == 0) return Progress::kFinished;
  constexpr int kLargest = 4095;  // MAX_ERRNO in the kernel
  error_ = error < 0 && error >= -kLargest ? -error : EPROTO;
  return Progress::kRefused;
}

NetlinkSocket::NetlinkSocket(UniqueFd fd) : fd_(std::move(fd)) {
  if (!fd_) return;
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  // Where that fails, others' messages are told by their sender, and cost their time only.
  [[maybe_unused]] const int result =
      ::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel);
}

NetlinkSocket::Deadline::Deadline(std::chrono::milliseconds time)
    : worked_(ThreadClock::now() + time), end_(Clock::now() + kBusy * time), waiting_(time) {}

bool NetlinkSocket::Deadline::is_over() const {
  return ThreadClock::now() >= worked_ || Clock::now() >= end_;
}

int NetlinkSocket::Deadline::wait(int fd) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(waiting_).count();
  if (left <= 0) return ETIMEDOUT;
  const auto since = Clock::now();
  struct pollfd waiting{.fd = fd, .events = POLLIN, .revents = 0};
  const int ready = ::poll(&waiting, 1, static_cast<int>(left));
  const int error = errno;
  waiting_ -= Clock::now() - since;
  if (ready == 0) return ETIMEDOUT;
  return ready < 0 && error != EINTR ? error : 0;
}

NetlinkAnswer NetlinkSocket::ask(NetlinkRequest& request, const NetlinkLimits& limits) {
  Deadline deadline(limits.time);
  auto answer = NetlinkAnswer::unknown(EINTR, "");
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    answer = ask_once(request, limits.bytes, deadline);
    if (answer.status() != NetlinkStatus::kUnknown || answer.error() != EINTR) break;
  }
  return answer;
}

NetlinkAnswer NetlinkSocket::ask_once(NetlinkRequest& request, std::size_t limit,
                                      Deadline& deadline) {
  using Progress = NetlinkAnswerReader::Progress;
  buffer_.resize(kBufferSize);
  if (unfinished_ && !read_rest_away(deadline)) {
    return NetlinkAnswer::unknown(ETIMEDOUT, "an earlier answer is still being read away");
  }
  const NetlinkBytes question = request.bytes(++sequence_);
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  ssize_t sent = 0;
  do {
    sent = ::sendto(fd_.get(), question.data(), question.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                    reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return NetlinkAnswer::unknown(errno, std::string("send: ") + ::strerror(errno));

  NetlinkAnswerReader reader(sequence_, request.is_dump(), request.wants_acknowledgement(), limit);
  unfinished_ = request.is_dump();
  for (;;) {
    const Received received = receive(deadline);
    if (received.error != 0) {
      return NetlinkAnswer::unknown(received.error,
                                    std::string("recv: ") + ::strerror(received.error));
    }
    switch (reader.take(received.datagram)) {
      case Progress::kMore:
        continue;
      case Progress::kFinished:
        unfinished_ = false;
        return NetlinkAnswer::complete(reader.release());
      case Progress::kRefused:
        unfinished_ = false;
        return NetlinkAnswer::refused(reader.error());
      case Progress::kInterrupted:
        unfinished_ = false;
        return NetlinkAnswer::unknown(EINTR, "what was listed kept changing");
      case Progress::kMalformed:
        return NetlinkAnswer::unknown(EBADMSG, "malformed answer");
      case Progress::kTooLong:
        return NetlinkAnswer::unknown(
            EOVERFLOW, "answer of more than " + std::to_string(limit / 1024) + " KiB");
    }
  }
}

NetlinkSocket::Received NetlinkSocket::receive(Deadline& deadline) {
  for (;;) {
    sockaddr_nl from{};
    socklen_t length = sizeof from;
    // Most answers are there when send() returns, so poll() comes second.
    ssize_t size = ::recvfrom(fd_.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT | MSG_TRUNC,
                              reinterpret_cast<sockaddr*>(&from), &length);
    int error = size < 0 ? errno : 0;
    if (deadline.is_over()) return {.error = ETIMEDOUT};
    if (error == EAGAIN) {
      error = deadline.wait(fd_.get());
      if (error == 0) continue;
    }
    if (error == EINTR) continue;
    if (error != 0) return {.error = error};  // ENOBUFS: something of the answer was dropped
    if (length != sizeof from || from.nl_pid != 0) continue;  // another process's
    if (static_cast<std::size_t>(size) > buffer_.size()) return {.error = EMSGSIZE};
    return {.datagram = NetlinkBytes(buffer_).first(static_cast<std::size_t>(size))};
  }
}

// Each datagram that is taken makes the kernel add the next one at once, so an empty queue is the
// end of the dump. False when the time is over before.
bool NetlinkSocket::read_rest_away(const Deadline& deadline) {
  while (!deadline.is_over()) {
    if (::recv(fd_.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT) >= 0) continue;
    if (errno == EINTR || errno == ENOBUFS) continue;
    unfinished_ = errno != EAGAIN;
    return !unfinished_;
  }
  return false;
}

UniqueFd open_netlink(int protocol, std::span<const int> groups) {
  const int type = SOCK_RAW | SOCK_CLOEXEC | (groups.empty() ? 0 : SOCK_NONBLOCK);
  UniqueFd fd(::socket(AF_NETLINK, type, protocol));
  if (!fd) throw_errno("socket", "AF_NETLINK");
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  if (groups.empty()) return fd;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw_errno("bind", "AF_NETLINK");
  }
  for (int group : groups) {
    if (::setsockopt(fd.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0) {
      throw_errno("setsockopt", "NETLINK_ADD_MEMBERSHIP");
    }
  }
  return fd;
}

}  // namespace sockswitch
