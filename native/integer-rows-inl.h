// Activations as the rows of tiles: how bytes are carried, and where rows are read in place, copied or gathered.

namespace sq {
namespace {

inline int64_t round_up(int64_t x, int64_t to) { return (x + to - 1) / to * to; }

/** What carrying adds to an activation: dots take one kind of byte only, so the other kind is shifted by 128. */
inline int32_t carried_shift(uint8_t, bool is_signed) { return is_signed ? 128 : 0; }
inline int32_t carried_shift(int8_t, bool is_signed) { return is_signed ? 0 : -128; }
inline int32_t carried_shift(int16_t, bool) { return 0; }

/** Whether bytes can be read in place. */
template <class A>
inline bool is_carried(bool is_signed) {
  return sizeof(A) == 1 && carried_shift(A{}, is_signed) == 0;
}

/** n bytes, their signs flipped by an exclusive or. */
inline void carry_bytes(const uint8_t* from, int64_t n, uint8_t flip, uint8_t* to) {
  const VB flips = vb_set(flip);
  int64_t i = 0;
  for (; i + WB <= n; i += WB) vb_store(to + i, vb_xor(vb_load(from + i), flips));
  if (i == n) return;
  if (n >= WB) {  // again what overlaps
    vb_store(to + n - WB, vb_xor(vb_load(from + n - WB), flips));
    return;
  }
  for (; i + 8 <= n; i += 8) {
    uint64_t eight;
    memcpy(&eight, from + i, sizeof eight);
    eight ^= 0x0101010101010101u * flip;
    memcpy(to + i, &eight, sizeof eight);
  }
  for (; i < n; i++) to[i] = from[i] ^ flip;
}

template <class A>
inline void carry(const uint8_t* from, int64_t n, bool is_signed, A* to) {
  if constexpr (sizeof(A) == 1) {
    carry_bytes(from, n, carried_shift(A{}, is_signed) ? 0x80 : 0, reinterpret_cast<uint8_t*>(to));
  } else if (is_signed) {
    for (int64_t i = 0; i < n; i++) to[i] = static_cast<int8_t>(from[i]);
  } else {
    for (int64_t i = 0; i < n; i++) to[i] = from[i];
  }
}

template <class A>
inline void fill(A* to, int64_t n, int32_t value) {
  for (int64_t i = 0; i < n; i++) to[i] = static_cast<A>(value);
}

inline int64_t depth_of(const WeightsShape& s, int step) { return round_up(int64_t(s.taps) * s.channels, step); }

/** Rows of one task: `strips` strips of `positions` rows, each row `lda` after the one before. */
template <class A>
struct Rows {
  const A* a;
  int64_t strips, strip, positions, lda;
};

/** Enough tasks of each thread that the last one to end keeps nobody waiting for long: more where they are long ones. */
constexpr int64_t LEAST_TASKS = 8, MOST_TASKS = 12;
constexpr double TASK_WORK = 2 << 20;
inline int64_t tasks_wanted(int threads, double work = 0) {
  if (threads == 1) return 1;
  return work >= TASK_WORK * MOST_TASKS * threads ? MOST_TASKS * threads : LEAST_TASKS * threads;
}

/** A panel is decoded for at least so many rows, where there are so many. */
constexpr int64_t LEAST_ROWS = 64;
/** Decoding a panel for so many rows costs next to nothing. */
constexpr int64_t ENOUGH_ROWS = 128;
constexpr int64_t MOST_ROWS = 512;

/**
 * `units` rows or lines in blocks of at most `most` and, as far as tasks are wanted, not below `least` (`enough`
 * while there are panels to divide), times chunks of panels, at most `most_chunks`. `copies` tasks (pictures, groups)
 * come of every block anyway.
 */
inline Division divide_work(int64_t units, int64_t most, int64_t enough, int64_t least, int64_t multiple, int64_t copies,
                            int64_t panels, int64_t most_chunks, int64_t wanted) {
  int64_t size = most < units ? most : units;
  int64_t chunks = 1;
  const auto tasks = [&] { return (units + size - 1) / size * copies; };
  const auto halve = [&](int64_t smallest) {
    while (tasks() * chunks < wanted && size / 2 >= smallest) size = (size + 1) / 2;
  };
  // Rows first: panels beside each other share lines of the output. But every block decodes its panels anew.
  halve(enough > least ? enough : least);
  if (tasks() < wanted) chunks = (wanted + tasks() - 1) / tasks();
  if (chunks > most_chunks) chunks = most_chunks;
  halve(least);
  const int64_t blocks = (units + size - 1) / size;
  size = (units + blocks - 1) / blocks;  // blocks of like size
  if (units > size) size = round_up(size, multiple);
  const int64_t panels_per_chunk = (panels + chunks - 1) / chunks;
  return {size, (units + size - 1) / size, (panels + panels_per_chunk - 1) / panels_per_chunk, panels_per_chunk};
}

struct IntegerJob {
  Pool* pool;
  Bytes a;
  const uint8_t* packed;
  WeightsShape weights;
  ConvShape shape;
  int32_t zero_point;
  Output out;
  enum Reading { IN_PLACE, COPIED, LINES, LINES_IN_PLACE, PATCHES, GATHERED } reading;
  Division division;  // of rows, or of lines: then `rows` and `blocks` count lines of one picture
};

/** Tasks of whole lines of one picture, rather than of rows wherever they lie. */
inline bool has_lines(IntegerJob::Reading reading) {
  return reading == IntegerJob::LINES || reading == IntegerJob::LINES_IN_PLACE || reading == IntegerJob::PATCHES;
}
/** Whether tiles read their rows from lines, rather than as rows of their own. */
inline bool is_linewise(IntegerJob::Reading reading) {
  return reading == IntegerJob::LINES || reading == IntegerJob::LINES_IN_PLACE;
}

inline bool is_read_in_place(IntegerJob::Reading reading) {
  return reading == IntegerJob::IN_PLACE || reading == IntegerJob::LINES_IN_PLACE;
}

/** Runs are copied in pieces of so many bytes, whatever follows them: the next run lies over it. */
constexpr int64_t PIECE = 16;

template <class A>
inline int64_t lines_bytes(const IntegerJob& job, int64_t lines) {
  return round_up(height_needed(job.shape, lines) * width_needed(job.shape) * job.shape.in_channels * int64_t(sizeof(A)) + PIECE, LINE);
}

/** Bytes of scratch that `rows_of` needs for one task. */
template <class A>
inline int64_t rows_bytes(const IntegerJob& job, int64_t depth) {
  const int64_t row = depth * int64_t(sizeof(A));
  switch (job.reading) {
    case IntegerJob::COPIED:
    case IntegerJob::GATHERED: return job.division.rows * row;
    case IntegerJob::LINES: return lines_bytes<A>(job, job.division.rows);
    case IntegerJob::PATCHES: return lines_bytes<A>(job, job.division.rows) + job.division.rows * job.shape.out_width * row + PIECE;
    default: return 0;
  }
}

/** `height` lines of one picture from line y on with their padding, `width` pixels each from the left padding on. */
template <class A>
inline void carry_lines(const IntegerJob& job, const uint8_t* a, int64_t y, int64_t height, int64_t width, A* to) {
  const ConvShape& s = job.shape;
  const int64_t c = s.in_channels, left = s.pad_left < width ? s.pad_left : width;
  const int64_t inside = s.in_width < width - left ? s.in_width : width - left;
  const int32_t zero = job.zero_point + carried_shift(A{}, job.a.is_signed);
  for (int64_t i = 0; i < height; i++, to += width * c) {
    if (y + i < 0 || y + i >= s.in_height) {
      fill(to, width * c, zero);
      continue;
    }
    fill(to, left * c, zero);
    carry(a + (y + i) * s.in_width * c, inside * c, job.a.is_signed, to + left * c);
    fill(to + (left + inside) * c, (width - left - inside) * c, zero);
  }
}

/** Patches of any geometry, row by row. */
template <class A>
inline void gather_rows(const IntegerJob& job, int64_t group, int64_t first, int64_t rows, int64_t depth, A* to) {
  const int64_t c = job.weights.channels, k = job.weights.taps * c;
  const int32_t zero = job.zero_point + carried_shift(A{}, job.a.is_signed);
  const bool is_signed = job.a.is_signed;
  const auto copy = [=](const uint8_t* from, A* at, int64_t n) { carry(from, n, is_signed, at); };
  const auto pad = [=](A* at, int64_t n) { fill(at, n, zero); };
  gather(job.a.data, job.shape, c, group, first, 1, rows, to, depth, copy, pad);
  for (int64_t r = 0; r < rows; r++) fill(to + r * depth + k, depth - k, 0);
}

/**
 * Patches out of lines that hold their padding, for kernels of HEIGHT lines of PIECES pieces each, or of any. What
 * pieces leave behind a patch meets weights that are zero.
 */
template <int HEIGHT, int PIECES, class A>
inline void patches(const ConvShape& s, const A* lines, int64_t count, int64_t width, int64_t depth, A* to) {
  constexpr int64_t SOME = PIECE / int64_t(sizeof(A));
  const int64_t c = s.in_channels, run = s.kernel_width * c, next = s.dilation_height * width * c;
  const int64_t height = HEIGHT ? HEIGHT : s.kernel_height, pieces = PIECES ? PIECES : (run + SOME - 1) / SOME;
  for (int64_t line = 0; line < count; line++) {
    const A* from = lines + line * s.stride_height * width * c;
    for (int64_t ox = 0; ox < s.out_width; ox++, from += s.stride_width * c, to += depth)
#pragma GCC unroll 3
      for (int64_t ky = 0; ky < height; ky++)
#pragma GCC unroll 2
        for (int64_t i = 0; i < pieces; i++) memcpy(to + ky * run + i * SOME, from + ky * next + i * SOME, PIECE);
  }
}

template <class A>
inline void patch_rows(const ConvShape& s, const A* lines, int64_t count, int64_t width, int64_t depth, A* to) {
  // Pictures of three channels, and kernels of three lines, are usual enough to know their loops.
  const int64_t bytes = s.kernel_width * s.in_channels * int64_t(sizeof(A));
  if (s.kernel_height == 3 && bytes <= PIECE) return patches<3, 1>(s, lines, count, width, depth, to);
  if (s.kernel_height == 3 && bytes <= 2 * PIECE) return patches<3, 2>(s, lines, count, width, depth, to);
  patches<0, 0>(s, lines, count, width, depth, to);
}

/** The rows of block `block`, in `memory` where they cannot be read in place. */
template <class A>
inline Rows<A> rows_of(const IntegerJob& job, int64_t depth, int64_t group, int64_t block, uint8_t* memory) {
  const ConvShape& s = job.shape;
  const Division& d = job.division;
  A* to = reinterpret_cast<A*>(memory);
  const int64_t c = s.in_channels;
  if (has_lines(job.reading)) {
    const int64_t batch = block / d.blocks, first = block % d.blocks * d.rows;
    const int64_t lines = s.out_height - first < d.rows ? s.out_height - first : d.rows;
    const int64_t y = first * s.stride_height - s.pad_top;
    const uint8_t* picture = job.a.data + batch * s.in_height * s.in_width * c;
    if (job.reading == IntegerJob::LINES_IN_PLACE)
      return {reinterpret_cast<const A*>(picture + y * s.in_width * c) + group * job.weights.channels, lines,
              s.stride_height * s.in_width * c, s.out_width, s.stride_width * c};
    const int64_t width = width_needed(s);
    carry_lines(job, picture, y, height_needed(s, lines), width, to);
    if (job.reading == IntegerJob::LINES)
      return {to + group * job.weights.channels, lines, s.stride_height * width * c, s.out_width, s.stride_width * c};
    A* rows = reinterpret_cast<A*>(memory + lines_bytes<A>(job, d.rows));
    patch_rows(s, to, lines, width, depth, rows);
    return {rows, 1, 0, lines * s.out_width, depth};
  }
  const int64_t m = positions_of(s), first = block * d.rows, rows = m - first < d.rows ? m - first : d.rows;
  if (job.reading == IntegerJob::IN_PLACE) return {reinterpret_cast<const A*>(job.a.data + first * c), 1, 0, rows, c};
  if (job.reading == IntegerJob::GATHERED) {
    gather_rows(job, group, first, rows, depth, to);
  } else if (depth == c) {
    carry(job.a.data + first * c, rows * c, job.a.is_signed, to);
  } else {
    for (int64_t r = 0; r < rows; r++) {
      carry(job.a.data + (first + r) * c, c, job.a.is_signed, to + r * depth);
      fill(to + r * depth + c, depth - c, 0);
    }
  }
  return {to, 1, 0, rows, depth};
}

}  // namespace
}  // namespace sq
