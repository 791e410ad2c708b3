#include "tunnel/underlay.h"

#include <linux/rtnetlink.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/address.h"
#include "base/errno_error.h"
#include "kernel/netlink.h"
#include "path/routing.h"
#include "protocol/netns_protocol.h"

namespace sockswitch::tunnel {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMaxTaps = 5;  // that a container may delete before it gets no more
constexpr std::chrono::seconds kTapPause{5};
constexpr const char* kBound =
    "the tunnel sends to it by one interface only (`dev` with a default remote, or `via`), "
    "whatever "
    "the routing table says";
// Nobody is told when WireGuard's peers move.
constexpr std::chrono::seconds kPeersPause{3};
// Looking at large tables takes at most this part of the time.
constexpr int kRest = 10;

UniqueFd open_tun(SocketSource& source) {
  try {
    return source.open(kTunDevice, 0, 0);
  } catch (const ErrnoError& error) {
    throw ErrnoError(error.error(), "open", "/dev/net/tun");
  }
}

}  // namespace

class Underlay::Control : public Ways, public Place {
 public:
  Control(Surroundings surroundings, Options options, Report report)
      : surroundings_(std::move(surroundings)),
        report_(std::move(report)),
        reactor_("ssw-tunnel", [this] { tick(); }),
        options_(std::move(options)) {
    try {
      on_thread([this] { open(); });
    } catch (...) {
      on_thread([this] { close(); });
      throw;
    }
  }

  ~Control() override {
    on_thread([this] { close(); });
    reactor_.stop();
  }

  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  void configure(Options options) {
    reactor_.post([this, options = std::move(options)]() mutable {
      options_ = std::move(options);
      if (receiver_) receiver_->listen_on(options_.published);
      look();
    });
  }

  Status status() const {
    std::lock_guard lock(mutex_);
    return status_;
  }

  Reactor& reactor() override { return reactor_; }
  Outbound& outbound() override { return *outbound_; }
  Inbound& inbound() override { return *inbound_; }

  Permission permission(const Remote& peer, bool with_reason) override {
    return surroundings_.permission({peer.address, peer.port, 0}, with_reason);
  }

  std::string probe(const Remote& peer, const Nonce& nonce, bool first) override {
    return probe_sender_->send(peer, nonce, first);
  }

  void came(const Remote& peer) override {
    add_rule(*netlink_, peer.port);
    add_route(*netlink_, *tap_, peer);
    choose_segments();
  }

  void went(const Remote& peer) override {
    try {
      remove_route(*netlink_, *tap_, peer);
    } catch (const ErrnoError& error) {
      // The tap goes, and the route with it, rather than that packets are lost.
      problem_ = error.what();
      lose_tap();
    }
    choose_segments();
  }

  void report(bool up, const Remote& peer, const std::string& reason) override {
    report_(up, peer, reason);
  }

  bool takes_segments() override { return tap_->format().tunnel_segments; }

  // The fallback network may give all senders the gateway's address, or the container's own.
  bool may_stand_for(const Address& sender, const Address& destination,
                     const Address& peer) override {
    if (sender == peer || sender == destination) return true;
    const auto defaults = default_routes(*routes_);
    return std::ranges::any_of(defaults,
                               [&](const FoundRoute& route) { return route.gateway == sender; });
  }

  bool is_own(const Address& address) override {
    const auto route = route_of(*routes_, {.destination = address});
    return route && route->type == RTN_LOCAL;
  }

  void heard_of(const Address& peer) override {
    for (auto& [remote, sender] : senders_) {
      if (remote.address == peer) sender->hurry();
    }
  }

 private:
  class Monitor : public Reactor::Watched {
   public:
    Monitor(Control& control, UniqueFd fd) : control_(control), fd_(std::move(fd)) {
      key_ = control_.reactor_.watch(*this, {fd_.get()}, EPOLLIN);
    }
    ~Monitor() override { control_.reactor_.unwatch(key_, {fd_.get()}); }
    Monitor(const Monitor&) = delete;
    Monitor& operator=(const Monitor&) = delete;
    void ready() override {
      drain_monitor(fd_.get());
      control_.changed_ = true;
    }

   private:
    Control& control_;
    UniqueFd fd_;
    std::uint64_t key_ = 0;
  };

  void on_thread(const std::function<void()>& work) {
    reactor_.run(work, [this] { reactor_.poke(); });
  }

  void open() {
    const auto source = surroundings_.start_source();
    netlink_ = std::make_unique<NetlinkSocket>(source->open(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
    routes_ = std::make_unique<NetlinkSocket>(source->open(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
    generic_ = std::make_unique<NetlinkSocket>(source->open(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC));
    monitor_ =
        std::make_unique<Monitor>(*this, open_monitor(*source, {RTNLGRP_LINK, RTNLGRP_NEIGH}));
    probe_sender_ = std::make_unique<ProbeSender>(*source);
    open_tap(*source);
    look();
  }

  void open_tap(SocketSource& source) {
    tap_ = std::make_unique<Tap>(open_tun(source), *netlink_);
    outbound_ = std::make_unique<Outbound>(*tap_, [this](const OutboundPeer* peer, int error) {
      reactor_.post([this, peer, error] { lost(peer, error); });
    });
    inbound_ = std::make_unique<Inbound>(
        *tap_,
        Inbound::Handlers{.probe =
                              [this](const auto& connection, const Nonce& nonce) {
                                reactor_.post([this, connection, nonce] {
                                  if (receiver_) receiver_->probe_announced(connection, nonce);
                                });
                              },
                          .ended =
                              [this](const auto& connection, std::string reason) {
                                reactor_.post([this, connection, reason = std::move(reason)] {
                                  if (receiver_) receiver_->ended(connection, reason);
                                });
                              }});
    receiver_ = std::make_unique<Receiver>(*this);
    probe_receiver_ = std::make_unique<ProbeReceiver>(reactor_, source, tap_->index(),
                                                      [this](const SeenProbe& seen) {
                                                        if (receiver_) receiver_->seen(seen);
                                                      });
    receiver_->listen_on(options_.published);
  }

  // Routes first, so that nothing is lost on the tap.
  void close_tap() {
    end_senders([](const Remote&) { return true; });
    probe_receiver_.reset();
    receiver_.reset();
    inbound_.reset();
    outbound_.reset();
    tap_.reset();
  }

  void close() {
    if (netlink_) remove_rules(*netlink_);
    close_tap();
    monitor_.reset();
    probe_sender_.reset();
    generic_.reset();
    routes_.reset();
    netlink_.reset();
  }

  void lost(const OutboundPeer* peer, int error) {
    if (!peer) {
      problem_ = "the container has removed the tap";
      return lose_tap();
    }
    for (auto& [remote, sender] : senders_) sender->lost(peer, error);
  }

  // Not at once: this may run inside of what is to be destroyed.
  void lose_tap() {
    if (!tap_lost_) next_tap_ = Clock::now() + kTapPause;
    tap_lost_ = true;
  }

  void replace_tap() {
    if (tap_) {
      remove_rules(*netlink_);
      close_tap();
    }
    if (Clock::now() < next_tap_ || taps_ >= kMaxTaps) return;
    ++taps_;
    next_tap_ = Clock::now() + kTapPause;
    try {
      open_tap(*surroundings_.start_source());
      tap_lost_ = false;
      problem_.clear();
      look();
    } catch (const ErrnoError& error) {
      problem_ = error.what();
      close_tap();
    }
  }

  void tick() {
    if (tap_lost_) replace_tap();
    if (tap_) {
      if (changed_ && Clock::now() >= next_look_) look();
      for (auto& [remote, sender] : senders_) sender->tick();
      receiver_->tick();
    }
    publish();
  }

  // A sender that ends looks at the others (went()), so it has left them before.
  void end_senders(const std::function<bool(const Remote&)>& which) {
    std::vector<std::unique_ptr<Sender>> ended;
    for (auto at = senders_.begin(); at != senders_.end();) {
      if (which(at->first)) {
        ended.push_back(std::move(at->second));
        at = senders_.erase(at);
      } else {
        ++at;
      }
    }
  }

  bool carries(const Remote& remote) const {
    return !options_.ports || options_.ports->contains(remote.port);
  }

  void look() {
    if (!tap_) return;
    changed_ = false;
    const auto start = Clock::now();
    restore_mtu();
    Found found = discover(*netlink_, generic_.get(), kMaxPeers);
    next_look_ = start + kRest * (Clock::now() - start);
    if (found.problem.empty()) {
      end_senders([&](const Remote& remote) {
        return !found.remotes.contains(remote) || !carries(remote);
      });
      for (const Remote& remote : found.remotes) {
        if (carries(remote) && !senders_.contains(remote)) {
          senders_.emplace(remote, std::make_unique<Sender>(*this, remote));
        }
      }
      note_bound(found);
      devices_ = std::move(found.devices);
    } else {
      changed_ = true;  // asked again
    }
    tables_ = found.problem.empty() ? found.unseen : found.problem;
    if (std::ranges::find(devices_, Kind::kWireguard, &TunnelDevice::kind) != devices_.end()) {
      changed_ = true;
      next_look_ = std::max(next_look_, start + kPeersPause);
    }
    if (found.more_remotes) {
      tables_ = "more than " + std::to_string(kMaxPeers) +
                " remotes: the others stay on the "
                "fallback network";
    }
    publish();
  }

  // The kernel looks their way up with the interface given, so that the route by the tap is not it.
  void note_bound(const Found& found) {
    std::erase_if(bound_, [&](const auto& entry) { return !found.bound.contains(entry.first); });
    for (const Remote& remote : found.bound) {
      if (carries(remote) && !found.remotes.contains(remote)) {
        bound_.try_emplace(remote, std::chrono::system_clock::now());
      } else {
        bound_.erase(remote);
      }
    }
  }

  void restore_mtu() {
    try {
      tap_->restore_mtu(*netlink_);
    } catch (const ErrnoError& error) {
      problem_ = error.what();
    }
  }

  // A peer whose kernel cannot segment tunnels is to get single packets.
  void choose_segments() {
    if (!tap_ || tap_lost_) return;
    const bool all = std::ranges::all_of(senders_, [](const auto& entry) {
      return entry.second->state() != Sender::State::kUp || entry.second->takes_segments();
    });
    if (all == gathers_) return;
    try {
      tap_->gather_segments(all);
      gathers_ = all;
    } catch (const ErrnoError& error) {
      problem_ = error.what();
    }
  }

  void publish() {
    Status status;
    if (tap_) {
      status.tap = tap_->name();
      status.segments = tap_->format().tunnel_segments && gathers_;
      status.listening = receiver_->listening();
      status.unsent = outbound_->unsent().dropped.load(std::memory_order_relaxed);
      for (const auto& [remote, sender] : senders_) status.peers.push_back(peer_status(*sender));
      for (const auto& [remote, since] : bound_) {
        status.peers.push_back(
            {.remote = remote, .state = "fallback", .reason = kBound, .since = since});
      }
      for (const auto& source : receiver_->sources()) {
        status.sources.push_back({source.peer, source.port, source.since, source.counters->bytes,
                                  source.counters->payloads, source.counters->dropped});
      }
    }
    status.devices = devices_;
    status.problem = problem_.empty() ? tables_ : problem_;
    std::lock_guard lock(mutex_);
    status_ = std::move(status);
  }

  static PeerStatus peer_status(const Sender& sender) {
    const Counters& counters = sender.counters();
    return {sender.peer(),  state_name(sender.state()), sender.reason(),  sender.since(),
            counters.bytes, counters.payloads,          counters.dropped, sender.round_trip_us()};
  }

  Surroundings surroundings_;
  Report report_;
  Reactor reactor_;
  Options options_;
  std::unique_ptr<NetlinkSocket> netlink_;
  std::unique_ptr<NetlinkSocket> routes_;
  std::unique_ptr<NetlinkSocket> generic_;
  std::unique_ptr<Monitor> monitor_;
  std::unique_ptr<ProbeSender> probe_sender_;
  std::unique_ptr<Tap> tap_;
  std::unique_ptr<Outbound> outbound_;
  std::unique_ptr<Inbound> inbound_;
  std::unique_ptr<Receiver> receiver_;
  std::unique_ptr<ProbeReceiver> probe_receiver_;
  std::map<Remote, std::unique_ptr<Sender>> senders_;
  std::vector<TunnelDevice> devices_;
  std::string tables_;
  std::map<Remote, std::chrono::system_clock::time_point> bound_;
  std::string problem_;
  bool gathers_ = true;
  bool changed_ = false;
  bool tap_lost_ = false;
  int taps_ = 0;
  Clock::time_point next_tap_;
  Clock::time_point next_look_;

  mutable std::mutex mutex_;
  Status status_;
};

Underlay::Underlay(Surroundings surroundings, Options options, Report report)
    : control_(std::make_unique<Control>(std::move(surroundings), std::move(options),
                                         std::move(report))) {}

Underlay::~Underlay() = default;

void Underlay::configure(Options options) { control_->configure(std::move(options)); }

Status Underlay::status() const { return control_->status(); }

}  // namespace sockswitch::tunnel
