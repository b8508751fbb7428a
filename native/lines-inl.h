// Convolutions line by line: where the taps of one kernel row lie side by side in the input, no patch is gathered.

namespace sq {
namespace {

/** Lines of outputs of one task, and the width in pixels of the inputs they need. */
struct Lines {
  int64_t lines, blocks, chunks, panels_per_chunk, width;
};

/** Narrower lines make tiles too small. */
constexpr int32_t LEAST_WIDTH = 4;
/** Inputs of one task stay in the second cache beside a panel of weights. */
constexpr int64_t LINES_BYTES = 128 * 1024;

inline bool is_linewise(const ConvShape& s) {
  return s.groups == 1 && (s.dilation_width == 1 || s.kernel_width == 1) && s.out_width >= LEAST_WIDTH;
}

/** The width and height of input that outputs need, padding included. */
inline int64_t width_needed(const ConvShape& s) {
  return int64_t(s.out_width - 1) * s.stride_width + int64_t(s.kernel_width - 1) * s.dilation_width + 1;
}
inline int64_t height_needed(const ConvShape& s, int64_t lines) {
  return (lines - 1) * s.stride_height + int64_t(s.kernel_height - 1) * s.dilation_height + 1;
}

inline bool is_unpadded(const ConvShape& s) {
  return s.pad_top == 0 && s.pad_left == 0 && width_needed(s) <= s.in_width &&
         height_needed(s, s.out_height) <= s.in_height;
}

/** Blocks of lines whose inputs take `pixel_bytes` per pixel and `most_bytes` together, as far as they can. */
inline Lines divide_lines(const ConvShape& s, int64_t panels, int64_t pixel_bytes, int64_t most_bytes, int threads) {
  const int64_t wanted = threads > 1 ? threads * TASKS_PER_THREAD : 1;
  const int64_t width = width_needed(s), share = int64_t(s.batch) * s.out_height / wanted;
  int64_t lines = share < s.out_height ? share : s.out_height;
  while (lines > 1 && height_needed(s, lines) * width * pixel_bytes > most_bytes) lines--;
  if (lines < 1) lines = 1;
  const int64_t blocks = (s.out_height + lines - 1) / lines, tasks = blocks * s.batch;
  lines = (s.out_height + blocks - 1) / blocks;  // blocks of like size
  int64_t chunks = tasks >= wanted ? 1 : (wanted + tasks - 1) / tasks;
  if (chunks > panels) chunks = panels;
  const int64_t panels_per_chunk = (panels + chunks - 1) / chunks;
  return {lines, (s.out_height + lines - 1) / lines, (panels + panels_per_chunk - 1) / panels_per_chunk, panels_per_chunk, width};
}

/** `height` lines of one picture from line y on, its padding as zeros, `width` pixels each from the left padding on. */
inline void pad_lines(const float* a, const ConvShape& s, int64_t y, int64_t height, int64_t width, float* to) {
  const int64_t c = s.in_channels;
  const int64_t left = s.pad_left < width ? s.pad_left : width;
  const int64_t inside = s.in_width < width - left ? s.in_width : width - left;
  for (int64_t i = 0; i < height; i++, to += width * c) {
    if (y + i < 0 || y + i >= s.in_height) {
      zero_floats(to, width * c);
      continue;
    }
    zero_floats(to, left * c);
    copy_floats(a + (y + i) * s.in_width * c, to + left * c, inside * c);
    zero_floats(to + (left + inside) * c, (width - left - inside) * c);
  }
}

}  // namespace
}  // namespace sq
