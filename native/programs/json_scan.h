// A strict JSON scanner that finds spans in a document and builds no tree.
//
// The one who wants to read or splice a document first calls `parse`, which checks all of it
// against RFC 8259 and returns the span of its one value; `member` then navigates by spans into the
// same text. Nothing here recurses, throws or allocates (except `elements`, `decode_string` and
// `append_string` for their result), and nothing is read outside the views that are handed in,
// whatever they hold. Limit: values nested deeper than kMaxDepth are refused. Bytes above 0x7f pass
// as they are: UTF-8 is not checked.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sockswitch::json {

inline constexpr int kMaxDepth = 64;

enum class Kind { kObject, kArray, kString, kNumber, kTrue, kFalse, kNull };

struct Value {
  Kind kind = Kind::kNull;
  std::string_view text;  // within the document, brackets or quotes included, no white space around
};

// The document's value, or nothing when the document is malformed or not exactly one value.
std::optional<Value> parse(std::string_view document);
// The member's value, or nothing when there is none. Of equal keys the last counts, as in Go and
// JavaScript.
std::optional<Value> member(const Value& object, std::string_view key);
// The values of an array up to the first that is malformed; none of anything else.
std::vector<Value> elements(const Value& array);
// Whether an object or array holds nothing.
bool is_empty(const Value& container);
// The characters that a string stands for (UTF-8). A surrogate without its partner becomes U+FFFD.
std::optional<std::string> decode_string(const Value& string);
// Appends `text` as a JSON string, quotes included. Bytes that are not UTF-8 become U+FFFD.
void append_string(std::string& out, std::string_view text);

}  // namespace sockswitch::json
