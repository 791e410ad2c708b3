#include "programs/json_scan.h"

#include <string>

#include "check.h"

namespace {

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a test of this namespace

std::string text_of(const std::optional<json::Value>& value) {
  return value ? std::string(value->text) : "(none)";
}

std::string find(std::string_view document, std::string_view key) {
  const auto root = json::parse(document);
  return root ? text_of(json::member(*root, key)) : "(malformed)";
}

std::string decode(std::string_view literal) {
  return json::decode_string({json::Kind::kString, literal}).value_or("(none)");
}

std::string encode(std::string_view text) {
  std::string out;
  json::append_string(out, text);
  return out;
}

TEST(json_accepts_what_rfc_8259_accepts) {
  for (const char* document :
       {"{}", "[]", "null", "true", "false", "0", "-0", "-1.5e+10", "1E5", "\"\"", " [ ] ",
        "[[],{}]", R"({"a":[1,2,{"b":null}],"c":"d"})", R"(["\u00e9\n\"\\\/"])",
        "{ \"a\" : 1 , \"b\" : [ 1 , 2 ] }", "\"\x7f\xff\"", "\t\r\n1\n"}) {
    if (!json::parse(document))
      check::fail(__FILE__, __LINE__, std::string("refused: ") + document);
  }
}

TEST(json_refuses_everything_else) {
  for (const char* document : {"",          " ",           "{",
                               "}",         "[",           "]",
                               "[1",        "[1,",         "[1,]",
                               "[,1]",      "[1 2]",       "{\"a\"}",
                               "{\"a\":}",  "{\"a\":1,}",  "{a:1}",
                               "{'a':1}",   "{\"a\":1]",   "[1}",
                               "01",        "+1",          "1.",
                               ".5",        "1e",          "1e+",
                               "-",         "0x1",         "NaN",
                               "tru",       "truex",       "nul",
                               "\"",        "\"\\",        "\"\\x\"",
                               "\"\\u12\"", "\"\\u12g4\"", "\"a\nb\"",
                               "1 1",       "{}{}",        "[]]",
                               "{\"a\" 1}", "{1:1}",       "{\"a\":1 \"b\":2}",
                               "//",        "[1]/**/",     "\xef\xbb\xbf{}"}) {
    if (json::parse(document))
      check::fail(__FILE__, __LINE__, std::string("accepted: ") + document);
  }
  CHECK(!json::parse(std::string_view("1\0", 2)));
  CHECK(!json::parse(std::string_view("\"\0\"", 3)));
}

TEST(json_bounds_the_depth) {
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  CHECK(json::parse(nested(json::kMaxDepth)).has_value());
  CHECK(!json::parse(nested(json::kMaxDepth + 1)));
  CHECK(!json::parse(std::string(1000000, '[')));
  CHECK(!json::parse(std::string(1000000, '{')));
}

TEST(json_every_prefix_of_a_document_is_malformed) {
  const std::string document = R"({"a":{"b\u00e9":[1,-2.5e3,"x\\y"]},"c":[true,false,null,{}]})";
  CHECK(json::parse(document).has_value());
  for (std::size_t length = 0; length < document.size(); ++length) {
    // A copy of exactly this size lets a sanitizer see a read beyond it.
    const std::string prefix = document.substr(0, length);
    if (json::parse(prefix)) check::fail(__FILE__, __LINE__, "accepted: " + prefix);
    json::member({json::Kind::kObject, prefix}, "c");
    json::decode_string({json::Kind::kString, prefix});
    json::is_empty({json::Kind::kObject, prefix});
  }
}

TEST(json_finds_members_of_this_level_only) {
  const char* document = R"({"x":{"a":1},"y":["a",{"a":2}],"z":"\"a\":3", "a" : [4] ,"b":5})";
  CHECK_EQ(find(document, "a"), "[4]");
  CHECK_EQ(find(document, "b"), "5");
  CHECK_EQ(find(document, "x"), R"({"a":1})");
  CHECK_EQ(find(document, "c"), "(none)");
  CHECK_EQ(find("{}", "a"), "(none)");
  CHECK_EQ(find("[\"a\"]", "a"), "(none)");
  CHECK_EQ(find("\"a\"", "a"), "(none)");
}

TEST(json_the_last_of_equal_keys_counts) { CHECK_EQ(find(R"({"a":1,"a":2})", "a"), "2"); }

TEST(json_keys_compare_decoded) {
  CHECK_EQ(find(R"({"sockswitch\/required":1})", "sockswitch/required"), "1");
  CHECK_EQ(find(R"({"\u0061":1})", "a"), "1");
  CHECK_EQ(find(R"({"a\"":1})", "a\""), "1");
}

TEST(json_spans_point_into_the_document) {
  const std::string document = R"(  {"process": {"rlimits": []}}  )";
  const auto root = json::parse(document);
  const auto process = json::member(*root, "process");
  CHECK(process->kind == json::Kind::kObject);
  CHECK(process->text.data() == document.data() + document.find("{\"rlimits"));
  CHECK(!json::is_empty(*process));
  CHECK(json::is_empty(*json::member(*process, "rlimits")));
  CHECK(json::is_empty(*json::parse("{ }")));
  CHECK(!json::is_empty(*json::parse("[ 0 ]")));
  CHECK(!json::is_empty(*json::parse("0")));
}

TEST(json_finds_the_elements_of_an_array) {
  const auto texts = [](std::string_view document) {
    std::string text;
    for (const json::Value& element : json::elements(json::parse(document).value_or(json::Value{})))
      text += std::string(element.text) + ";";
    return text;
  };
  CHECK_EQ(texts(R"([ 1 , {"a":[2]},"]", [] ])"), R"(1;{"a":[2]};"]";[];)");
  CHECK_EQ(texts("[ ]"), "");
  CHECK_EQ(texts(R"({"a":1})"), "");
  CHECK_EQ(json::elements({json::Kind::kArray, "[1,2"}).size(), 2U);
  CHECK_EQ(json::elements({json::Kind::kArray, "[1,,2]"}).size(), 1U);
}

TEST(json_decodes_strings) {
  CHECK_EQ(decode(R"("")"), "");
  CHECK_EQ(decode(R"("a\"\\\/\b\f\n\r\tz")"), "a\"\\/\b\f\n\r\tz");
  CHECK_EQ(decode(R"("\u0041\u00e9\u20ac\ud83d\ude00")"), "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  CHECK_EQ(decode(R"("\ud83d")"), "\xef\xbf\xbd");
  CHECK_EQ(decode(R"("\ude00x")"), "\xef\xbf\xbdx");
  CHECK_EQ(decode(R"("\ud83d\u0041")"),
           "\xef\xbf\xbd"
           "A");
  CHECK_EQ(decode(R"("\ud83d\ud83d\ude00")"), "\xef\xbf\xbd\xf0\x9f\x98\x80");
  CHECK_EQ(decode("\""), "(none)");
  CHECK_EQ(decode("x"), "(none)");
  CHECK_EQ(decode(R"("\")"), "(none)");
  CHECK_EQ(decode(R"("\u12")"), "(none)");
  CHECK_EQ(decode(R"("\q")"), "(none)");
}

TEST(json_encodes_strings) {
  CHECK_EQ(encode(""), "\"\"");
  CHECK_EQ(encode("a\"b\\c/\n\x01\x1f"), R"("a\"b\\c/\u000a\u0001\u001f")");
  CHECK_EQ(encode("\xc3\xa9\xf0\x9f\x98\x80"), "\"\xc3\xa9\xf0\x9f\x98\x80\"");
  // Not UTF-8: a lone continuation, an overlong form, a surrogate, a cut sequence, a too high
  // point.
  CHECK_EQ(encode("\x80"), "\"\xef\xbf\xbd\"");
  CHECK_EQ(encode("\xc0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\"");
  CHECK_EQ(encode("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
  CHECK_EQ(encode("x\xe2\x82"), "\"x\xef\xbf\xbd\xef\xbf\xbd\"");
  CHECK_EQ(encode("\xf5\x80\x80\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

TEST(json_what_was_encoded_decodes_to_the_same) {
  std::string all;
  for (int c = 0; c < 0x80; ++c) all.push_back(static_cast<char>(c));
  all += "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
  const std::string literal = encode(all);
  CHECK(json::parse(literal).has_value());
  CHECK_EQ(decode(literal), all);
}

}  // namespace
