// The JSON scanner of the hook program (programs/json_scan.h).
#include "programs/json_scan.h"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace json = sockswitch::json;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  // Unchecked spans must do no harm either.
  for (const auto kind : {json::Kind::kObject, json::Kind::kString, json::Kind::kArray}) {
    json::member({kind, input}, "a");
    json::decode_string({kind, input});
    json::elements({kind, input});
    json::is_empty({kind, input});
  }
  if (const auto root = json::parse(input)) {
    if (const auto found = json::member(*root, "a")) {
      if (!json::parse(found->text)) std::abort();  // a part of a good document is a good document
      for (const json::Value& element : json::elements(*found)) {
        if (!json::parse(element.text)) std::abort();
      }
    }
  }
  std::string literal;
  json::append_string(literal, input);
  const auto value = json::parse(literal);
  if (!value || !json::decode_string(*value)) std::abort();
  return 0;
}
