#include "addon/values.h"

#include <charconv>
#include <optional>
#include <utility>

namespace sockswitch::addon {
namespace {

[[noreturn]] void wrong(Napi::Env env, const std::string& what, const char* wanted) {
  throw Napi::TypeError::New(env, what + ": " + wanted + " wanted");
}

// The elements of an array, each read by `read`, which gives no value for what is not of the kind.
template <typename Read>
auto get_array(const Napi::Object& object, const char* key, const char* wanted, Read read) {
  Napi::Value value = object.Get(key);
  if (!value.IsArray()) wrong(object.Env(), key, wanted);
  auto array = value.As<Napi::Array>();
  std::vector<typename decltype(read(Napi::Value()))::value_type> result;
  for (std::uint32_t i = 0; i < array.Length(); ++i) {
    auto element = read(array.Get(i));
    if (!element) wrong(object.Env(), key, wanted);
    result.push_back(*std::move(element));
  }
  return result;
}

std::vector<std::uint64_t> get_numbers(const Napi::Object& object, const char* key) {
  return get_array(object, key, "an array of numbers",
                   [](const Napi::Value& element) -> std::optional<std::uint64_t> {
                     if (!element.IsNumber()) return {};
                     return static_cast<std::uint64_t>(element.As<Napi::Number>().Int64Value());
                   });
}

const char* event_type(ListenerEvent::Type type) {
  switch (type) {
    case ListenerEvent::Type::kFirstOutcome:
      return "first-outcome";
    case ListenerEvent::Type::kClosed:
      return "listener-closed";
    case ListenerEvent::Type::kTunnelFound:
      return "tunnel-found";
    case ListenerEvent::Type::kTunnelUp:
      return "tunnel-up";
    case ListenerEvent::Type::kTunnelDown:
      return "tunnel-down";
    case ListenerEvent::Type::kTunnelFailed:
      return "tunnel-failed";
    case ListenerEvent::Type::kPinKept:
      return "pin-kept";
    case ListenerEvent::Type::kUnlabelled:
      return "sockets-unlabelled";
    case ListenerEvent::Type::kFailed:
      break;
  }
  return "listener-failed";
}

const char* kind_name(OutcomeKind kind) {
  switch (kind) {
    case OutcomeKind::kSwitched:
      return "switched";
    case OutcomeKind::kFallback:
      return "fallback";
    case OutcomeKind::kPassed:
      break;
  }
  return "passed";
}

}  // namespace

std::string get_string(const Napi::Object& object, const char* key) {
  Napi::Value value = object.Get(key);
  if (!value.IsString()) wrong(object.Env(), key, "a string");
  return value.As<Napi::String>();
}

int get_int(const Napi::Object& object, const char* key) {
  Napi::Value value = object.Get(key);
  if (!value.IsNumber()) wrong(object.Env(), key, "a number");
  return value.As<Napi::Number>().Int32Value();
}

bool get_bool(const Napi::Object& object, const char* key) {
  Napi::Value value = object.Get(key);
  if (!value.IsBoolean()) wrong(object.Env(), key, "a boolean");
  return value.As<Napi::Boolean>().Value();
}

Napi::Function get_function(const Napi::Object& object, const char* key) {
  Napi::Value value = object.Get(key);
  if (!value.IsFunction()) wrong(object.Env(), key, "a function");
  return value.As<Napi::Function>();
}

Napi::Object get_object(const Napi::CallbackInfo& info, std::size_t index) {
  if (!info[index].IsObject()) wrong(info.Env(), "argument " + std::to_string(index), "an object");
  return info[index].As<Napi::Object>();
}

std::vector<std::string> get_strings(const Napi::Object& object, const char* key) {
  return get_array(object, key, "an array of strings",
                   [](const Napi::Value& element) -> std::optional<std::string> {
                     if (!element.IsString()) return {};
                     return element.As<Napi::String>();
                   });
}

std::string get_string(const Napi::CallbackInfo& info, std::size_t index) {
  if (!info[index].IsString()) wrong(info.Env(), "argument " + std::to_string(index), "a string");
  return info[index].As<Napi::String>();
}

std::int64_t get_integer(const Napi::CallbackInfo& info, std::size_t index) {
  if (!info[index].IsNumber()) wrong(info.Env(), "argument " + std::to_string(index), "a number");
  return info[index].As<Napi::Number>().Int64Value();
}

Mapping get_mapping(const Napi::Object& object) {
  Mapping mapping;
  std::string protocol = get_string(object, "protocol");
  if (protocol != "tcp" && protocol != "udp") wrong(object.Env(), "protocol", "tcp or udp");
  mapping.protocol = protocol == "tcp" ? IPPROTO_TCP : IPPROTO_UDP;
  if (object.Get("hostAddress").IsString()) {
    mapping.host = Address::parse(get_string(object, "hostAddress"));
    if (!mapping.host) wrong(object.Env(), "hostAddress", "a numeric address");
  }
  mapping.host_port = static_cast<std::uint16_t>(get_int(object, "hostPort"));
  mapping.container_port = static_cast<std::uint16_t>(get_int(object, "containerPort"));
  return mapping;
}

std::optional<NetnsIdentity> get_netns(const Napi::Object& object, const char* key) {
  if (object.Get(key).IsUndefined()) return {};
  std::string text = get_string(object, key);
  const char* end = text.data() + text.size();
  NetnsIdentity identity;
  auto device = std::from_chars(text.data(), end, identity.device);
  if (device.ec != std::errc{} || device.ptr == end || *device.ptr != ':') {
    wrong(object.Env(), key, "DEVICE:INODE");
  }
  auto inode = std::from_chars(device.ptr + 1, end, identity.inode);
  if (inode.ec != std::errc{} || inode.ptr != end) wrong(object.Env(), key, "DEVICE:INODE");
  return identity;
}

Policy get_policy(const Napi::Value& value, const Engine& engine) {
  if (!value.IsObject()) wrong(value.Env(), "policy", "an object");
  auto object = value.As<Napi::Object>();
  Policy policy =
      Policy::compile(get_strings(object, "ignore"), get_strings(object, "podmanNetworks"));
  policy.permissions = {.network_admin = get_bool(object, "networkAdmin"),
                        .ignores_firewall = get_bool(object, "ignoreFirewall")};
  policy.pods_egress = get_bool(object, "podsEgress");
  for (const std::string& text : get_strings(object, "podsNetworks")) {
    const auto network = parse_ipv4_block(text);
    if (!network || !may_be_listed(*network)) wrong(object.Env(), "podsNetworks", "IPv4 prefixes");
    policy.pods_networks.push_back(*network);
  }
  policy.listen_unseen = get_bool(object, "listenUnseen");
  policy.host_names = get_bool(object, "hostNames");
  policy.options_unseen = get_bool(object, "optionsUnseen");
  policy.socket_label = get_string(object, "socketLabel");
  policy.published = engine.published(get_numbers(object, "publish"));
  return policy;
}

tunnel::Options get_tunnel_options(const Napi::Object& object) {
  tunnel::Options options;
  if (object.Get("ports").IsArray()) {
    options.ports.emplace();
    for (std::uint64_t port : get_numbers(object, "ports")) {
      options.ports->insert(static_cast<std::uint16_t>(port));
    }
  }
  options.published = get_array(
      object, "published", "an array of mappings",
      [](const Napi::Value& element) -> std::optional<tunnel::PublishedPort> {
        if (!element.IsObject()) return {};
        const Mapping mapping = get_mapping(element.As<Napi::Object>());
        return tunnel::PublishedPort{mapping.host, mapping.host_port, mapping.container_port};
      });
  return options;
}

Napi::Object to_js(Napi::Env env, const OutcomeCounters& counters) {
  auto object = Napi::Object::New(env);
  for (const OutcomeInfo& known : outcome_table()) {
    object.Set(known.name, static_cast<double>(counters.value(known.outcome)));
  }
  return object;
}

Napi::Object to_js(Napi::Env env, const LatencyHistogram& latency) {
  constexpr double kMicrosecond = 1e-6;
  constexpr double kNanosecond = 1e-9;
  auto bounds = Napi::Array::New(env);
  for (const std::uint32_t bound : kLatencyBounds)
    bounds.Set(bounds.Length(), bound * kMicrosecond);
  auto counts = Napi::Array::New(env);
  for (std::size_t i = 0; i < LatencyHistogram::kClasses; ++i) {
    counts.Set(counts.Length(), static_cast<double>(latency.count(i)));
  }
  auto object = Napi::Object::New(env);
  object.Set("bounds", bounds);
  object.Set("counts", counts);
  object.Set("sum", static_cast<double>(latency.sum_nanoseconds()) * kNanosecond);
  return object;
}

Napi::Object to_js(Napi::Env env, const ListenerEvent& event) {
  auto object = Napi::Object::New(env);
  object.Set("type", event_type(event.type));
  object.Set("listener", static_cast<double>(event.listener));
  if (event.type == ListenerEvent::Type::kFirstOutcome) {
    object.Set("outcome", info(event.outcome).name);
  }
  object.Set("detail", event.detail);
  if (event.port != 0) object.Set("port", static_cast<double>(event.port));
  return object;
}

Napi::Array outcomes_to_js(Napi::Env env) {
  auto array = Napi::Array::New(env);
  for (const OutcomeInfo& known : outcome_table()) {
    auto object = Napi::Object::New(env);
    object.Set("name", known.name);
    object.Set("kind", kind_name(known.kind));
    object.Set("text", known.text);
    array.Set(array.Length(), object);
  }
  return array;
}

Napi::Array to_js(Napi::Env env, const std::vector<TcpSocket>& sockets) {
  auto array = Napi::Array::New(env, sockets.size());
  for (std::uint32_t i = 0; i < sockets.size(); ++i) {
    const TcpSocket& socket = sockets[i];
    auto object = Napi::Object::New(env);
    object.Set("inode", static_cast<double>(socket.inode));
    object.Set("state", static_cast<double>(socket.state));
    object.Set("local", socket.local.text());
    object.Set("remote", socket.remote.text());
    object.Set("bytesSent", static_cast<double>(socket.bytes_sent));
    object.Set("bytesReceived", static_cast<double>(socket.bytes_received));
    object.Set("roundTripMicroseconds", static_cast<double>(socket.round_trip_us));
    array.Set(i, object);
  }
  return array;
}

void report_failed_handler(Napi::Env env, const Napi::Error& error) noexcept {
  try {
    auto console = env.Global().Get("console").As<Napi::Object>();
    console.Get("error").As<Napi::Function>().Call(
        console, {Napi::String::New(env, "sockswitch: an event was not handled:"), error.Value()});
  } catch (const Napi::Error&) {  // NOLINT(bugprone-empty-catch): there is no other place to say it
  }
}

namespace {

double milliseconds(std::chrono::system_clock::time_point when) {
  return static_cast<double>(
      std::chrono::duration_cast<std::chrono::milliseconds>(when.time_since_epoch()).count());
}

Napi::Object to_js(Napi::Env env, const tunnel::PeerStatus& peer) {
  auto object = Napi::Object::New(env);
  object.Set("address", peer.remote.address.text());
  object.Set("port", static_cast<double>(peer.remote.port));
  object.Set("state", peer.state);
  object.Set("reason", peer.reason);
  object.Set("since", milliseconds(peer.since));
  object.Set("sentBytes", static_cast<double>(peer.sent_bytes));
  object.Set("sentPayloads", static_cast<double>(peer.sent_payloads));
  object.Set("dropped", static_cast<double>(peer.dropped));
  object.Set("roundTripMicroseconds", static_cast<double>(peer.round_trip_us));
  return object;
}

Napi::Object to_js(Napi::Env env, const tunnel::SourceStatus& source) {
  auto object = Napi::Object::New(env);
  object.Set("address", source.address.text());
  object.Set("port", static_cast<double>(source.port));
  object.Set("since", milliseconds(source.since));
  object.Set("receivedBytes", static_cast<double>(source.received_bytes));
  object.Set("receivedPayloads", static_cast<double>(source.received_payloads));
  object.Set("dropped", static_cast<double>(source.dropped));
  return object;
}

Napi::Object to_js(Napi::Env env, const tunnel::TunnelDevice& device) {
  auto object = Napi::Object::New(env);
  object.Set("name", device.name);
  object.Set("kind", tunnel::kind_name(device.kind));
  object.Set("port", static_cast<double>(device.port));
  return object;
}

Napi::Object to_js(Napi::Env env, const tunnel::Receiver::Listening& listening) {
  auto object = Napi::Object::New(env);
  if (listening.port.host) object.Set("hostAddress", listening.port.host->text());
  object.Set("hostPort", static_cast<double>(listening.port.host_port));
  object.Set("containerPort", static_cast<double>(listening.port.container_port));
  object.Set("problem", listening.problem);
  return object;
}

template <typename Element>
Napi::Array list_to_js(Napi::Env env, const std::vector<Element>& elements) {
  auto array = Napi::Array::New(env);
  for (const Element& element : elements) array.Set(array.Length(), to_js(env, element));
  return array;
}

}  // namespace

Napi::Object to_js(Napi::Env env, const tunnel::Status& status) {
  auto object = Napi::Object::New(env);
  object.Set("tap", status.tap);
  object.Set("segments", status.segments);
  object.Set("devices", list_to_js(env, status.devices));
  object.Set("listening", list_to_js(env, status.listening));
  object.Set("peers", list_to_js(env, status.peers));
  object.Set("sources", list_to_js(env, status.sources));
  object.Set("unsent", static_cast<double>(status.unsent));
  object.Set("problem", status.problem);
  return object;
}

Napi::Error to_js_error(Napi::Env env, const ErrnoError& error) {
  auto result = Napi::Error::New(env, error.what());
  result.Set("code", Napi::String::New(env, error.code()));
  result.Set("errno", Napi::Number::New(env, error.error()));
  result.Set("syscall", Napi::String::New(env, error.syscall()));
  return result;
}

}  // namespace sockswitch::addon
