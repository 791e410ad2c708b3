// From the peers to the tap: a thread that receives what proved connections bring and writes it to
// the tap, one write(2) for each payload.
//
// One connection after the other gets its turn, with as much as one recv(2) brings. The outer
// headers are made here of what this side knows by itself (Flow). Whatever a peer sends that the
// wire format does not allow ends its connection.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "tunnel/frame.h"
#include "tunnel/outbound.h"
#include "tunnel/tap.h"
#include "tunnel/wire.h"

namespace sockswitch::tunnel {

struct InboundConnection {
  std::shared_ptr<UniqueFd> socket;
  Flow flow;
  std::shared_ptr<Counters> counters;
  // The thread's own: the beginning of a message that has not come whole.
  std::vector<std::uint8_t> rest;
  std::chrono::steady_clock::time_point window;  // in which `probes` came
  int probes = 0;
};

class Inbound {
 public:
  struct Handlers {
    // On the thread.
    std::function<void(const std::shared_ptr<InboundConnection>&, const Nonce&)> probe;
    // It has ended; `reason` in words.
    std::function<void(const std::shared_ptr<InboundConnection>&, std::string reason)> ended;
  };

  // Throws ErrnoError.
  Inbound(const Tap& tap, Handlers handlers);
  ~Inbound();
  Inbound(const Inbound&) = delete;
  Inbound& operator=(const Inbound&) = delete;

  // From any other thread; return at once.
  void add(std::shared_ptr<InboundConnection> connection);
  void remove(std::shared_ptr<InboundConnection> connection);

 private:
  struct Order {
    bool add;
    std::shared_ptr<InboundConnection> connection;
  };
  void post(Order order);
  void run();
  void take_orders();
  void receive(InboundConnection& connection);
  // The number of bytes that were whole messages; no value where the wire format was broken.
  std::optional<std::size_t> take_messages(InboundConnection& connection, Bytes bytes);
  void deliver(InboundConnection& connection, const MessageHeader& header, Bytes payload);
  void end(InboundConnection& connection, std::string reason);

  const Tap& tap_;
  Handlers handlers_;
  UniqueFd epoll_;
  UniqueFd wake_;
  std::vector<std::uint8_t> arena_;
  std::map<InboundConnection*, std::shared_ptr<InboundConnection>> connections_;

  std::mutex mutex_;
  std::vector<Order> orders_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace sockswitch::tunnel
