// Netlink messages of any family (rtnetlink, nfnetlink, xfrm, generic netlink): requests are built,
// attributes walked, answers read whole within bounds. netlink(7); linux/netlink.h.
//
// Theory of operation. A NetlinkSocket asks one question at a time and waits for the whole answer:
// one message, or for a dump all datagrams up to NLMSG_DONE. The answer is kept in memory before
// anybody looks at it, so that nobody acts on half of one. It is believed only if it is complete:
// the kernel's (port id 0; whoever has CAP_NET_ADMIN in the namespace may send to the socket, too),
// with the question's sequence number, well formed, not cut short, no longer than the limits say.
// All else is `kUnknown`, which is never to be taken for "nothing is there". A dump during which
// the kernel's tables changed (NLM_F_DUMP_INTR) is asked for again, then it is unknown.
//
// A dump that is abandoned stays half read in the socket. The next question first reads the rest
// away, within its own limits, so a socket recovers by itself once the answer has a bearable size.
#pragma once

#include <linux/netlink.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/address.h"
#include "base/unique_fd.h"
#include "kernel/thread_clock.h"

namespace sockswitch {

using NetlinkBytes = std::span<const std::uint8_t>;

// Kernel structures are copied out of bytes, never pointed at: alignment is not promised.
// No value where `bytes` is too short.
template <typename Structure>
std::optional<Structure> read_structure(NetlinkBytes bytes) {
  static_assert(std::is_trivially_copyable_v<Structure>);
  Structure value{};
  if (bytes.size() < sizeof value) return {};
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

struct NetlinkAttribute {
  std::uint16_t type = 0;  // without NLA_F_NESTED and NLA_F_NET_BYTEORDER
  NetlinkBytes data;

  // A number in host byte order of exactly the size of `Number`; no value otherwise.
  template <typename Number>
  std::optional<Number> number() const {
    static_assert(std::is_integral_v<Number>);
    if (data.size() != sizeof(Number)) return {};
    return read_structure<Number>(data);
  }
  // The same in network byte order, as nfnetlink and some of ip_vs have them.
  std::optional<std::uint16_t> big_endian16() const;
  std::optional<std::uint32_t> big_endian32() const;
  std::optional<std::uint64_t> big_endian64() const;
  // Up to the first NUL, or all of it.
  std::string_view text() const;
  // Of 4 or 16 bytes; no value otherwise.
  std::optional<Address> address() const;
};

// Iterates over attributes: for (NetlinkAttribute a; walk.next(a);) ... ; then if (!walk.ok()) the
// rest was malformed. Fewer than four bytes after the last attribute are padding.
class NetlinkAttributes {
 public:
  explicit NetlinkAttributes(NetlinkBytes bytes) : rest_(bytes) {}
  bool next(NetlinkAttribute& attribute);
  bool ok() const { return ok_; }

 private:
  NetlinkBytes rest_;
  bool ok_ = true;
};

// Calls `visit(const NetlinkAttribute&)` for each; false if they are malformed, which is seen only
// after those before the fault were visited.
template <typename Visit>
[[nodiscard]] bool walk_attributes(NetlinkBytes bytes, Visit visit) {
  NetlinkAttributes walk(bytes);
  for (NetlinkAttribute attribute; walk.next(attribute);) visit(attribute);
  return walk.ok();
}

struct NetlinkMessage {
  std::uint16_t type = 0;
  std::uint16_t flags = 0;
  std::uint32_t sequence = 0;
  NetlinkBytes payload;  // the family's header, then attributes

  // The family's header, for example rtmsg; no value where the payload is too short.
  template <typename Header>
  std::optional<Header> header() const {
    return read_structure<Header>(payload);
  }
  // What follows a family's header of `header_size` bytes; empty where there is nothing.
  NetlinkBytes attributes(std::size_t header_size) const;
};

// Iterates over the messages of one datagram, as NetlinkAttributes does over attributes.
class NetlinkMessages {
 public:
  explicit NetlinkMessages(NetlinkBytes datagram) : rest_(datagram) {}
  bool next(NetlinkMessage& message);
  bool ok() const { return ok_; }

 private:
  NetlinkBytes rest_;
  bool ok_ = true;
};

// Builds one request: the family's header first, then attributes.
//
//   NetlinkRequest request(RTM_GETROUTE, 0);
//   request.header(message).number(RTA_OIF, 2).text(RTA_X, "eth0");
//   auto nest = request.begin_nest(RTA_Y); ... request.end_nest(nest);
class NetlinkRequest {
 public:
  // NLM_F_REQUEST is added to `flags`; NLM_F_DUMP asks for a dump, NLM_F_ACK for an
  // acknowledgement.
  explicit NetlinkRequest(std::uint16_t type, std::uint16_t flags = 0);

  template <typename Header>
  NetlinkRequest& header(const Header& header) {
    static_assert(std::is_trivially_copyable_v<Header>);
    append(&header, sizeof header);
    return *this;
  }
  NetlinkRequest& attribute(std::uint16_t type, NetlinkBytes data);
  // In host byte order, of the size of `Number`: give the type that the family's header names.
  template <typename Number>
  NetlinkRequest& number(std::uint16_t type, Number value) {
    static_assert(std::is_integral_v<Number>);
    return attribute(type, {reinterpret_cast<const std::uint8_t*>(&value), sizeof value});
  }
  NetlinkRequest& big_endian16(std::uint16_t type, std::uint16_t value);
  NetlinkRequest& big_endian32(std::uint16_t type, std::uint32_t value);
  // With a NUL at its end.
  NetlinkRequest& text(std::uint16_t type, std::string_view value);
  // Four bytes for IPv4, 16 for IPv6.
  NetlinkRequest& address(std::uint16_t type, const Address& value);

  std::size_t begin_nest(std::uint16_t type);
  void end_nest(std::size_t nest);

  bool is_dump() const { return (flags_ & NLM_F_DUMP) == NLM_F_DUMP; }
  bool wants_acknowledgement() const { return (flags_ & NLM_F_ACK) != 0; }
  // The finished message.
  NetlinkBytes bytes(std::uint32_t sequence);

 private:
  void append(const void* data, std::size_t size);

  std::uint16_t flags_;
  std::vector<std::uint8_t> bytes_;
};

struct NetlinkLimits {
  std::size_t bytes = std::size_t{4} * 1024 * 1024;  // of the whole answer
  // Of the thread's processor time, in which the kernel makes the whole answer, a second attempt
  // included. By the clock ten times as long, of which as long may be spent waiting for nothing.
  std::chrono::milliseconds time{200};
};

enum class NetlinkStatus {
  kComplete,  // the messages are the whole answer; a dump may have none
  kRefused,   // the kernel answered with an error: `error`
  kUnknown,   // no answer that can be believed: `error` and `reason` say why
};

class NetlinkAnswer {
 public:
  static NetlinkAnswer complete(std::vector<std::uint8_t> messages);
  static NetlinkAnswer refused(int error);
  static NetlinkAnswer unknown(int error, std::string reason);

  NetlinkStatus status() const { return status_; }
  bool complete() const { return status_ == NetlinkStatus::kComplete; }
  // An errno, positive. For kUnknown the nearest one: ETIMEDOUT, EOVERFLOW, EBADMSG, EINTR, or the
  // system call's.
  int error() const { return error_; }
  // For people: "answer of more than 4 MiB".
  const std::string& reason() const { return reason_; }
  // In the kernel's order; none unless complete(). Valid as long as this object is.
  NetlinkMessages messages() const { return NetlinkMessages(messages_); }
  // The first message; no value if there is none.
  std::optional<NetlinkMessage> first() const;

 private:
  NetlinkStatus status_ = NetlinkStatus::kUnknown;
  int error_ = 0;
  std::string reason_;
  std::vector<std::uint8_t> messages_;
};

// Takes the datagrams of one answer one after the other: the part of NetlinkSocket that needs no
// socket, for tests and the fuzzer.
class NetlinkAnswerReader {
 public:
  enum class Progress { kMore, kFinished, kRefused, kMalformed, kTooLong, kInterrupted };

  NetlinkAnswerReader(std::uint32_t sequence, bool dump, bool acknowledged, std::size_t limit)
      : sequence_(sequence), dump_(dump), acknowledged_(acknowledged), limit_(limit) {}

  Progress take(NetlinkBytes datagram);
  int error() const { return error_; }  // of kRefused, positive
  std::vector<std::uint8_t> release() { return std::move(messages_); }

 private:
  Progress take(const NetlinkMessage& message);
  Progress end(int error);

  std::uint32_t sequence_;
  bool dump_;
  bool acknowledged_;
  std::size_t limit_;
  bool interrupted_ = false;
  int error_ = 0;
  std::vector<std::uint8_t> messages_;
};

class NetlinkSocket {
 public:
  // Takes a netlink socket of the namespace to ask, bound or unbound, in no group: a group's
  // messages would be taken for answers' and thrown away. Connects it to the kernel, which refuses
  // others' messages to it from then on (netlink_getsockbyportid()).
  explicit NetlinkSocket(UniqueFd fd);

  int fd() const { return fd_.get(); }
  explicit operator bool() const { return static_cast<bool>(fd_); }

  // Never throws for what the kernel says. Not thread-safe.
  NetlinkAnswer ask(NetlinkRequest& request, const NetlinkLimits& limits = {});

 private:
  // When an answer is late (NetlinkLimits).
  class Deadline {
   public:
    explicit Deadline(std::chrono::milliseconds time);
    bool is_over() const;
    // Until something can be read; 0 or an errno.
    int wait(int fd);

   private:
    using Clock = std::chrono::steady_clock;
    ThreadClock::time_point worked_;
    Clock::time_point end_;
    Clock::duration waiting_;  // what is left of it
  };
  struct Received {
    int error = 0;  // 0: `datagram` is one of the kernel's
    NetlinkBytes datagram;
  };

  NetlinkAnswer ask_once(NetlinkRequest& request, std::size_t limit, Deadline& deadline);
  Received receive(Deadline& deadline);
  bool read_rest_away(const Deadline& deadline);

  UniqueFd fd_;
  std::uint32_t sequence_ = 0;
  bool unfinished_ = false;  // a dump was abandoned, and its rest waits
  std::vector<std::uint8_t> buffer_;
};

// A socket of this protocol (NETLINK_ROUTE, ...) in the calling thread's namespace, subscribed to
// `groups` (RTNLGRP_LINK, ...; numbers, not bits). Without any: a blocking one to ask with; with
// groups: a nonblocking monitor. Throws ErrnoError.
UniqueFd open_netlink(int protocol, std::span<const int> groups = {});

}  // namespace sockswitch
