// Finds where a JSON object ends, by counting brackets outside strings; its grammar is the daemon's
// matter.
#pragma once

#include <cstddef>
#include <string_view>

namespace sockswitch::keeper {

class ObjectFrame {
 public:
  enum class State { kIncomplete, kComplete, kRubbish };

  State feed(std::string_view bytes) {
    for (const char c : bytes) {
      if (!advance(c)) return State::kRubbish;
    }
    return started_ && depth_ == 0 ? State::kComplete : State::kIncomplete;
  }

 private:
  bool advance(char c) {
    if (in_string_) {
      if (escaped_) {
        escaped_ = false;
      } else if (c == '\\') {
        escaped_ = true;
      } else if (c == '"') {
        in_string_ = false;
      }
      return true;
    }
    const bool space = c == ' ' || c == '\n' || c == '\t' || c == '\r';
    if (depth_ == 0) {
      if (space) return true;
      if (started_ || c != '{') return false;
    }
    if (c == '"') in_string_ = true;
    if (c == '{' || c == '[') ++depth_;
    if (c == '}' || c == ']') --depth_;
    started_ = true;
    return true;
  }

  std::size_t depth_ = 0;
  bool started_ = false;
  bool in_string_ = false;
  bool escaped_ = false;
};

}  // namespace sockswitch::keeper
