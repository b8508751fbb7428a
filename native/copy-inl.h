// Copies between places of different strides: joins, transposes, crops. Four bytes or one per element.

namespace sq {
namespace {

template <class T, int ROWS_AT_ONCE>
inline void interleave_rows(const T* from, T* to, const PlaneCopy& p) {
  for (int64_t c = 0; c < p.columns; c++, from += p.from_column, to += p.to_column)
    for (int r = 0; r < ROWS_AT_ONCE; r++) to[r] = from[r * p.from_row];
}

/** As memcpy, without a call where n is small. */
inline void copy_bytes(const uint8_t* from, uint8_t* to, int64_t n) {
  constexpr int64_t SHORT = 8 * 16;
  if (n > SHORT) return static_cast<void>(memcpy(to, from, static_cast<size_t>(n)));
  if (in_steps(0, n, 16, [=](int64_t i) { memcpy(to + i, from + i, 16); })) return;
  if (in_steps(0, n, 4, [=](int64_t i) { memcpy(to + i, from + i, 4); })) return;
  for (int64_t i = 0; i < n; i++) to[i] = from[i];
}

/** One value for a whole row: a constant border. */
template <class T>
inline void fill_rows(const T* from, T* to, const PlaneCopy& p) {
  for (int64_t r = 0; r < p.rows; r++, from += p.from_row, to += p.to_row) {
    const T value = *from;
    for (int64_t c = 0; c < p.columns; c++) to[c] = value;
  }
}

template <class T>
inline void copy_elements(const T* from, T* to, const PlaneCopy& p) {
  from += p.from;
  to += p.to;
  if (p.from_column == 1 && p.to_column == 1) {
    for (int64_t r = 0; r < p.rows; r++)
      copy_bytes(reinterpret_cast<const uint8_t*>(from + r * p.from_row), reinterpret_cast<uint8_t*>(to + r * p.to_row),
                 p.columns * int64_t(sizeof(T)));
    return;
  }
  if (p.from_column == 0 && p.to_column == 1) return fill_rows(from, to, p);
  if (p.rows == 3 && p.to_row == 1) return interleave_rows<T, 3>(from, to, p);  // pictures, channels last
  for (int64_t r = 0; r < p.rows; r++, from += p.from_row, to += p.to_row)
    for (int64_t c = 0; c < p.columns; c++) to[c * p.to_column] = from[c * p.from_column];
}

/** Rows or, of pictures whose few rows are channels, columns on several threads. */
template <class T>
inline void copy_parts(Pool& pool, const T* from, T* to, const PlaneCopy& plane) {
  struct Job {
    const T* from;
    T* to;
    const PlaneCopy& plane;
    bool rows;
    int64_t each;
  } job{from, to, plane, plane.rows >= plane.columns, 0};
  const int64_t length = job.rows ? plane.rows : plane.columns, other = job.rows ? plane.columns : plane.rows;
  if (length == 0 || other == 0) return;
  job.each = (SPREAD + other - 1) / other;
  pool.run((length + job.each - 1) / job.each, double(length) * double(other) * ELEMENT_WORK, [](const void* context, int64_t task, int) {
    const Job& j = *static_cast<const Job*>(context);
    PlaneCopy part = j.plane;
    int64_t& count = j.rows ? part.rows : part.columns;
    const int64_t first = task * j.each;
    count = count - first < j.each ? count - first : j.each;
    part.from += first * (j.rows ? part.from_row : part.from_column);
    part.to += first * (j.rows ? part.to_row : part.to_column);
    copy_elements(j.from, j.to, part);
  }, &job);
}

void copy_plane(Pool& pool, const void* from, void* to, int64_t element_bytes, const PlaneCopy& p) {
  if (element_bytes == 4)
    copy_parts(pool, static_cast<const uint32_t*>(from), static_cast<uint32_t*>(to), p);
  else
    copy_parts(pool, static_cast<const uint8_t*>(from), static_cast<uint8_t*>(to), p);
}

}  // namespace
}  // namespace sq
