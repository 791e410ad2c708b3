// JS values to C++ ones and back: the only code that looks into JS objects.
#pragma once

#include <napi.h>

#include <string>
#include <vector>

#include "base/errno_error.h"
#include "kernel/sock_diag.h"
#include "notify/engine.h"

namespace sockswitch::addon {

// Each throws Napi::TypeError naming the property where the value is not what it should be.
std::string get_string(const Napi::Object& object, const char* key);
int get_int(const Napi::Object& object, const char* key);
bool get_bool(const Napi::Object& object, const char* key);
std::vector<std::string> get_strings(const Napi::Object& object, const char* key);
Napi::Function get_function(const Napi::Object& object, const char* key);
Napi::Object get_object(const Napi::CallbackInfo& info, std::size_t index);
std::string get_string(const Napi::CallbackInfo& info, std::size_t index);
std::int64_t get_integer(const Napi::CallbackInfo& info, std::size_t index);
// "DEVICE:INODE", as stat(2) numbers them; no value where the property is undefined.
std::optional<NetnsIdentity> get_netns(const Napi::Object& object, const char* key);
Policy get_policy(const Napi::Value& value, const Engine& engine);
Mapping get_mapping(const Napi::Object& object);
tunnel::Options get_tunnel_options(const Napi::Object& object);

Napi::Object to_js(Napi::Env env, const OutcomeCounters& counters);
// { bounds: upper bounds in seconds, counts: one more, not cumulative, sum: seconds }
Napi::Object to_js(Napi::Env env, const LatencyHistogram& latency);
Napi::Object to_js(Napi::Env env, const ListenerEvent& event);
Napi::Object to_js(Napi::Env env, const tunnel::Status& status);
Napi::Array outcomes_to_js(Napi::Env env);
Napi::Array to_js(Napi::Env env, const std::vector<TcpSocket>& sockets);

// A JS Error with `code`, `errno` (positive) and `syscall`.
Napi::Error to_js_error(Napi::Env env, const ErrnoError& error);

// Runs `body`, turning C++ exceptions into JS ones.
template <typename Body>
auto guarded(Napi::Env env, Body body) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (const ErrnoError& error) {
    throw to_js_error(env, error);
  } catch (const std::exception& error) {
    throw Napi::Error::New(env, error.what());
  }
}

// Says on standard error that a handler failed, and with what. Never throws.
void report_failed_handler(Napi::Env env, const Napi::Error& error) noexcept;

// Runs `body`, which calls a handler of JS, for a caller that knows no exceptions (libuv, Node.js):
// what is thrown is reported, and life goes on.
template <typename Body>
void run_handler(Napi::Env env, Body body) noexcept {
  try {
    try {
      body();
    } catch (const Napi::Error& error) {
      report_failed_handler(env, error);
    } catch (const std::exception& error) {
      report_failed_handler(env, Napi::Error::New(env, error.what()));
    }
  } catch (...) {  // NOLINT(bugprone-empty-catch): of the report; nobody is left to be told
  }
}

}  // namespace sockswitch::addon
