#include "programs/json_scan.h"

#include <array>
#include <cstdint>

namespace sockswitch::json {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

bool is_digit(char c) { return c >= '0' && c <= '9'; }

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Reads forward through one view. Every step checks for the end first; a step that cannot be taken
// returns false or nothing and leaves the position undefined.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) {}

  std::size_t position() const { return position_; }
  bool at_end() const { return position_ == text_.size(); }
  char peek() const { return at_end() ? '\0' : text_[position_]; }
  std::string_view since(std::size_t start) const { return text_.substr(start, position_ - start); }

  void skip_space() {
    while (!at_end()) {
      const char c = text_[position_];
      if (c != ' ' && c != '\t' && c != '\n' && c != '\r') return;
      ++position_;
    }
  }

  bool take(char expected) {
    if (at_end() || text_[position_] != expected) return false;
    ++position_;
    return true;
  }

  bool take_word(std::string_view word) {
    if (!text_.substr(position_).starts_with(word)) return false;
    position_ += word.size();
    return true;
  }

  bool take_string() {
    if (!take('"')) return false;
    while (!at_end()) {
      const char c = text_[position_++];
      if (c == '"') return true;
      if (static_cast<unsigned char>(c) < 0x20) return false;
      if (c == '\\' && !take_escape()) return false;
    }
    return false;
  }

  bool take_number() {
    take('-');
    if (!take('0') && !take_digits()) return false;
    if (take('.') && !take_digits()) return false;
    if (take('e') || take('E')) {
      if (!take('+')) take('-');
      return take_digits();
    }
    return true;
  }

  // One value, to its end.
  std::optional<Value> take_value() {
    const std::size_t start = position_;
    switch (peek()) {
      case '{':
        return take_nested() ? std::optional(Value{Kind::kObject, since(start)}) : std::nullopt;
      case '[':
        return take_nested() ? std::optional(Value{Kind::kArray, since(start)}) : std::nullopt;
      default:
        return take_scalar();
    }
  }

 private:
  bool take_digits() {
    const std::size_t start = position_;
    while (!at_end() && is_digit(text_[position_])) ++position_;
    return position_ > start;
  }

  // What follows a backslash.
  bool take_escape() {
    if (at_end()) return false;
    const char c = text_[position_++];
    if (c != 'u') return std::string_view("\"\\/bfnrt").find(c) != std::string_view::npos;
    for (int i = 0; i < 4; ++i) {
      if (at_end() || hex_value(text_[position_++]) < 0) return false;
    }
    return true;
  }

  std::optional<Value> take_scalar() {
    const std::size_t start = position_;
    switch (peek()) {
      case '"':
        return take_string() ? std::optional(Value{Kind::kString, since(start)}) : std::nullopt;
      case 't':
        return take_word("true") ? std::optional(Value{Kind::kTrue, since(start)}) : std::nullopt;
      case 'f':
        return take_word("false") ? std::optional(Value{Kind::kFalse, since(start)}) : std::nullopt;
      case 'n':
        return take_word("null") ? std::optional(Value{Kind::kNull, since(start)}) : std::nullopt;
      default:
        return take_number() ? std::optional(Value{Kind::kNumber, since(start)}) : std::nullopt;
    }
  }

  // `"key":`, with the white space that may surround the colon.
  bool take_key() {
    skip_space();
    if (!take_string()) return false;
    skip_space();
    if (!take(':')) return false;
    skip_space();
    return true;
  }

  // An object or array with all that is in it. Instead of recursing it keeps one bit a level:
  // whether that level is an object.
  bool take_nested() {
    std::uint64_t objects = 0;
    int depth = 0;
    do {
      // Here a value is due.
      const char first = peek();
      if (first == '{' || first == '[') {
        if (depth == kMaxDepth) return false;
        ++position_;
        ++depth;
        const bool object = first == '{';
        objects = (objects << 1U) | (object ? 1U : 0U);
        skip_space();
        if (peek() != (object ? '}' : ']')) {
          if (object && !take_key()) return false;
          continue;
        }
      } else if (!take_scalar()) {
        return false;
      }
      // Here a value has ended, or an empty container is about to: close what closes, then go on.
      if (!take_ends(objects, depth)) return false;
    } while (depth > 0);
    return true;
  }

  // Takes closing brackets until a comma promises another value, which then is due, or all is
  // closed.
  bool take_ends(std::uint64_t& objects, int& depth) {
    while (depth > 0) {
      const bool object = (objects & 1U) != 0;
      skip_space();
      if (take(',')) {
        skip_space();
        return !object || take_key();
      }
      if (!take(object ? '}' : ']')) return false;
      objects >>= 1U;
      --depth;
    }
    return true;
  }

  std::string_view text_;
  std::size_t position_ = 0;
};
static_assert(kMaxDepth <= 64, "Cursor::take_nested keeps one bit a level in 64 bits");

void append_utf8(std::string& out, std::uint32_t point) {
  const auto byte = [&out](std::uint32_t value) { out.push_back(static_cast<char>(value)); };
  if (point < 0x80) {
    byte(point);
  } else if (point < 0x800) {
    byte(0xc0U | (point >> 6U));
    byte(0x80U | (point & 0x3fU));
  } else if (point < 0x10000) {
    byte(0xe0U | (point >> 12U));
    byte(0x80U | ((point >> 6U) & 0x3fU));
    byte(0x80U | (point & 0x3fU));
  } else {
    byte(0xf0U | (point >> 18U));
    byte(0x80U | ((point >> 12U) & 0x3fU));
    byte(0x80U | ((point >> 6U) & 0x3fU));
    byte(0x80U | (point & 0x3fU));
  }
}

// The four hexadecimal digits at the front of `text`, where they are; -1 otherwise.
std::int32_t hex4(std::string_view text) {
  if (text.size() < 4) return -1;
  std::int32_t unit = 0;
  for (const char c : text.substr(0, 4)) {
    const int digit = hex_value(c);
    if (digit < 0) return -1;
    unit = unit * 16 + digit;
  }
  return unit;
}

bool is_high_surrogate(std::int32_t unit) { return unit >= 0xd800 && unit <= 0xdbff; }
bool is_low_surrogate(std::int32_t unit) { return unit >= 0xdc00 && unit <= 0xdfff; }

// Appends what the escape at the front of `rest` (after its backslash) stands for, and returns how
// many characters it takes; 0 where it is no escape.
std::size_t decode_escape(std::string_view rest, std::string& out) {
  constexpr std::string_view kNames = "\"\\/bfnrt";
  constexpr std::string_view kCharacters = "\"\\/\b\f\n\r\t";
  if (rest.empty()) return 0;
  if (rest.front() != 'u') {
    const std::size_t index = kNames.find(rest.front());
    if (index == std::string_view::npos) return 0;
    out.push_back(kCharacters[index]);
    return 1;
  }
  const std::int32_t unit = hex4(rest.substr(1));
  if (unit < 0) return 0;
  if (is_high_surrogate(unit) && rest.substr(5).starts_with("\\u")) {
    const std::int32_t partner = hex4(rest.substr(7));
    if (is_low_surrogate(partner)) {
      append_utf8(
          out, static_cast<std::uint32_t>(0x10000 + (unit - 0xd800) * 0x400 + (partner - 0xdc00)));
      return 11;
    }
  }
  if (is_high_surrogate(unit) || is_low_surrogate(unit)) {
    out += kReplacement;
  } else {
    append_utf8(out, static_cast<std::uint32_t>(unit));
  }
  return 5;
}

// How many bytes the well-formed UTF-8 sequence at the front of `text` takes; 0 where there is
// none.
std::size_t utf8_length(std::string_view text) {
  const auto at = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = at(0);
  if (lead < 0x80) return 1;
  std::size_t length = 0;
  unsigned char lowest =
      0x80;  // bounds of the second byte: no overlong forms, surrogates, nor > U+10FFFF
  unsigned char highest = 0xbf;
  if (lead >= 0xc2 && lead <= 0xdf) {
    length = 2;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    length = 3;
    if (lead == 0xe0) lowest = 0xa0;
    if (lead == 0xed) highest = 0x9f;
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    length = 4;
    if (lead == 0xf0) lowest = 0x90;
    if (lead == 0xf4) highest = 0x8f;
  }
  if (length == 0 || text.size() < length || at(1) < lowest || at(1) > highest) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if (at(i) < 0x80 || at(i) > 0xbf) return 0;
  }
  return length;
}

bool key_equals(std::string_view raw, std::string_view key) {
  const std::string_view inside = raw.substr(1, raw.size() - 2);
  if (inside.find('\\') == std::string_view::npos) return inside == key;
  return decode_string({Kind::kString, raw}) == key;
}

}  // namespace

std::optional<Value> parse(std::string_view document) {
  Cursor cursor(document);
  cursor.skip_space();
  std::optional<Value> value = cursor.take_value();
  if (!value) return std::nullopt;
  cursor.skip_space();
  return cursor.at_end() ? value : std::nullopt;
}

std::optional<Value> member(const Value& object, std::string_view key) {
  std::optional<Value> found;
  Cursor cursor(object.text);
  if (object.kind != Kind::kObject || !cursor.take('{')) return std::nullopt;
  cursor.skip_space();
  if (cursor.peek() == '}') return std::nullopt;
  do {
    cursor.skip_space();
    const std::size_t start = cursor.position();
    if (!cursor.take_string()) return std::nullopt;
    const bool match = key_equals(cursor.since(start), key);
    cursor.skip_space();
    if (!cursor.take(':')) return std::nullopt;
    cursor.skip_space();
    const std::optional<Value> value = cursor.take_value();
    if (!value) return std::nullopt;
    if (match) found = value;
    cursor.skip_space();
  } while (cursor.take(','));
  return found;
}

std::vector<Value> elements(const Value& array) {
  std::vector<Value> found;
  Cursor cursor(array.text);
  if (array.kind != Kind::kArray || !cursor.take('[')) return found;
  do {
    cursor.skip_space();
    if (cursor.peek() == ']') return found;
    const std::optional<Value> value = cursor.take_value();
    if (!value) return found;
    found.push_back(*value);
    cursor.skip_space();
  } while (cursor.take(','));
  return found;
}

bool is_empty(const Value& container) {
  Cursor cursor(container.text);
  if (!cursor.take('{') && !cursor.take('[')) return false;
  cursor.skip_space();
  return cursor.peek() == '}' || cursor.peek() == ']';
}

std::optional<std::string> decode_string(const Value& string) {
  const std::string_view raw = string.text;
  if (string.kind != Kind::kString || raw.size() < 2 || raw.front() != '"' || raw.back() != '"') {
    return std::nullopt;
  }
  std::string_view rest = raw.substr(1, raw.size() - 2);
  std::string out;
  while (!rest.empty()) {
    const std::size_t plain = rest.find('\\');
    out += rest.substr(0, plain);
    if (plain == std::string_view::npos) break;
    rest.remove_prefix(plain + 1);
    const std::size_t used = decode_escape(rest, out);
    if (used == 0) return std::nullopt;
    rest.remove_prefix(used);
  }
  return out;
}

void append_string(std::string& out, std::string_view text) {
  constexpr std::array<char, 17> kHex = {"0123456789abcdef"};
  out.push_back('"');
  while (!text.empty()) {
    const auto c = static_cast<unsigned char>(text.front());
    std::size_t length = 1;
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(text.front());
    } else if (c < 0x20) {
      out += "\\u00";
      out.push_back(kHex.at(c >> 4U));
      out.push_back(kHex.at(c & 0xfU));
    } else {
      length = utf8_length(text);
      out += length > 0 ? text.substr(0, length) : kReplacement;
      if (length == 0) length = 1;
    }
    text.remove_prefix(length);
  }
  out.push_back('"');
}

}  // namespace sockswitch::json
