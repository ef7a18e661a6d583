// Pages of lists (AIP-158).
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "base/error.h"

namespace berth::server {

inline constexpr int kMaxPageSize = 1000;

// The size to use. INVALID_ARGUMENT, BAD_PAGE_SIZE, for a negative one.
Result<int> PageSize(int asked, int by_default);

// A token that says where a page ended, opaque to callers; `query` is all that must be the same for the next
// page.
std::string MakePageToken(const std::string& query, const std::string& position);
// The position. INVALID_ARGUMENT, BAD_PAGE_TOKEN, for one that is not ours or of another query.
Result<std::string> ReadPageToken(const std::string& query, const std::string& token);

// One page of `items`, in their order, beginning after the one whose `key` is the token's position; that one
// may be gone meanwhile if the items are sorted by key. `next` becomes the token for the next page, empty for
// the last.
template <typename Item, typename Key>
Result<std::vector<Item>> PageOf(std::vector<Item> items, Key key, const std::string& query, int size,
                                 const std::string& token, std::string* next) {
  auto begin = items.begin();
  if (!token.empty()) {
    const std::string position = TRY(ReadPageToken(query, token));
    begin = std::find_if(items.begin(), items.end(), [&](const Item& item) { return key(item) > position; });
  }
  const auto end = items.end() - begin > size ? begin + size : items.end();
  next->clear();
  if (end != items.end()) *next = MakePageToken(query, key(*(end - 1)));
  return std::vector<Item>(std::make_move_iterator(begin), std::make_move_iterator(end));
}

}  // namespace berth::server
