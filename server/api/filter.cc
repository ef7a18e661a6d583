#include "server/api/filter.h"

namespace berth::server {
namespace {

bool IsWordByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
         c == '/' || c == ':' || c == '.' || static_cast<unsigned char>(c) >= 0x80;
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool AtEnd() {
    while (position_ < text_.size() && (text_[position_] == ' ' || text_[position_] == '\t')) ++position_;
    return position_ == text_.size();
  }

  bool Take(std::string_view token) {
    if (AtEnd() || text_.substr(position_, token.size()) != token) return false;
    position_ += token.size();
    return true;
  }

  Result<std::string> Word() {
    if (AtEnd()) return Bad("ends too early");
    const size_t start = position_;
    while (position_ < text_.size() && IsWordByte(text_[position_])) ++position_;
    if (position_ == start) return Bad("expects a word");
    return std::string(text_.substr(start, position_ - start));
  }

  Result<std::string> Value() {
    if (!Take("\"")) return Word();
    std::string value;
    while (position_ < text_.size()) {
      char c = text_[position_++];
      if (c == '"') return value;
      if (c == '\\') {
        if (position_ == text_.size()) break;
        c = text_[position_++];
      }
      value += c;
    }
    return Bad("lacks a closing quote");
  }

  tl::unexpected<Error> Bad(std::string_view what) const {
    return Fail(Error(Code::kInvalidArgument, fmt::format("the filter {} at byte {}", what, position_))
                    .Reason("BAD_FILTER")
                    .With("position", std::to_string(position_))
                    .Field("filter"));
  }

 private:
  const std::string_view text_;
  size_t position_ = 0;
};

}  // namespace

Result<Filter> Filter::Parse(std::string_view text, const std::function<bool(std::string_view)>& knows) {
  Scanner scanner(text);
  Filter filter;
  if (text.size() > kMaxBytes) return scanner.Bad("is too long");
  while (!scanner.AtEnd()) {
    if (!filter.comparisons_.empty() && !scanner.Take("AND ")) return scanner.Bad("expects AND");
    if (filter.comparisons_.size() == kMaxComparisons) return scanner.Bad("compares too much");
    Comparison comparison{.field = TRY(scanner.Word())};
    if (!knows(comparison.field)) return scanner.Bad("names an unknown field " + comparison.field);
    comparison.equal = !scanner.Take("!=");
    if (comparison.equal && !scanner.Take("=")) return scanner.Bad("expects = or !=");
    comparison.value = TRY(scanner.Value());
    filter.comparisons_.push_back(std::move(comparison));
  }
  return filter;
}

bool Filter::Matches(const std::function<std::string(std::string_view)>& value_of) const {
  for (const Comparison& comparison : comparisons_) {
    if ((value_of(comparison.field) == comparison.value) != comparison.equal) return false;
  }
  return true;
}

}  // namespace berth::server
