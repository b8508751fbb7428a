// 8-bit weights for dots that add pairs of products in 16 bits (pmaddubsw): exact where no two neighbours of one sign are
// together beyond 128, since 255 * 128 < 2^15. Trained weights seldom are. What a pair has too much is split off into a
// short list of the panel, which tiles multiply apart; weights with too many such pairs take the dots that need no split.
// Saturating sums, as others have them here, would be as fast and wrong.

namespace sq {
namespace {

/** The first byte says whether what follows is split. */
constexpr int64_t SPLIT_PREFIX = LINE;
/** The largest sum of two neighbours. */
constexpr int PAIR_LIMIT = 128;

/** A longer list takes longer than its dots save. */
constexpr int64_t most_rests(int64_t depth) { return depth / 16 + 1; }
/** Their number, then the list. */
constexpr int64_t rests_size(int64_t depth) {
  return (4 + most_rests(depth) * int64_t(sizeof(Rest)) + LINE - 1) / LINE * LINE;
}

inline int32_t rest_count(const uint8_t* list) {
  int32_t count;
  memcpy(&count, list, 4);
  return count;
}
inline int32_t position_of(const Rest& rest) {
  int32_t at;
  memcpy(&at, rest.at, sizeof at);
  return at;
}
inline const Rest* rests_of(const uint8_t* list) { return reinterpret_cast<const Rest*>(list + 4); }

inline bool is_split(const uint8_t* packed) { return packed[0] != 0; }

inline bool has_large_pair(const int8_t* w, int64_t n) {
  bool found = false;
  for (int64_t i = 0; i < n; i += 2) {
    const int sum = w[i] + w[i + 1];
    found |= sum > PAIR_LIMIT || sum < -PAIR_LIMIT;
  }
  return found;
}

/** Splits the weights [depth / STEP][width][STEP] of one panel; false where its list would be too long. */
template <int STEP>
inline bool split_panel(int8_t* weights, int64_t depth, int64_t width, uint8_t* list) {
  Rest* rests = reinterpret_cast<Rest*>(list + 4);
  int32_t count = 0;
  for (int64_t k = 0; k < depth; k += STEP, weights += width * STEP) {
    if (!has_large_pair(weights, width * STEP)) continue;
    for (int64_t s = 0; s < STEP; s += 2) {
      Rest* of[2] = {nullptr, nullptr};  // the pair's positions in the list
      for (int64_t column = 0; column < width; column++) {
        int8_t* pair = weights + column * STEP + s;
        const int sum = pair[0] + pair[1];
        if (sum <= PAIR_LIMIT && sum >= -PAIR_LIMIT) continue;
        const int which = of[0] ? 0 : of[1] ? 1 : 0;
        if (!of[which]) {
          if (count == most_rests(depth)) return false;
          of[which] = &rests[count++];
          memset(of[which], 0, sizeof(Rest));
          const auto at = static_cast<int32_t>(k + s + which);
          memcpy(of[which]->at, &at, sizeof at);
        }
        const int rest = sum > 0 ? sum - PAIR_LIMIT : sum + PAIR_LIMIT;
        of[which]->values[column] = static_cast<int8_t>(rest);
        pair[which] = static_cast<int8_t>(pair[which] - rest);
      }
    }
  }
  memcpy(list, &count, 4);
  return true;
}

}  // namespace
}  // namespace sq
