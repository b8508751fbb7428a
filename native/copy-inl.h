// Copies between places of different strides: joins, transposes, crops. Four bytes or one per element.

namespace sq {
namespace {

template <class T, int ROWS_AT_ONCE>
inline void interleave_rows(const T* from, T* to, const PlaneCopy& p) {
  for (int64_t c = 0; c < p.columns; c++, from += p.from_column, to += p.to_column)
    for (int r = 0; r < ROWS_AT_ONCE; r++) to[r] = from[r * p.from_row];
}

template <class T>
inline void copy_elements(const T* from, T* to, const PlaneCopy& p) {
  from += p.from;
  to += p.to;
  if (p.from_column == 1 && p.to_column == 1) {
    for (int64_t r = 0; r < p.rows; r++)
      memcpy(to + r * p.to_row, from + r * p.from_row, static_cast<size_t>(p.columns) * sizeof(T));
    return;
  }
  if (p.rows == 3 && p.to_row == 1) return interleave_rows<T, 3>(from, to, p);  // pictures, channels last
  for (int64_t r = 0; r < p.rows; r++, from += p.from_row, to += p.to_row)
    for (int64_t c = 0; c < p.columns; c++) to[c * p.to_column] = from[c * p.from_column];
}

void copy_plane(const void* from, void* to, int64_t element_bytes, const PlaneCopy& p) {
  if (element_bytes == 4)
    copy_elements(static_cast<const uint32_t*>(from), static_cast<uint32_t*>(to), p);
  else
    copy_elements(static_cast<const uint8_t*>(from), static_cast<uint8_t*>(to), p);
}

}  // namespace
}  // namespace sq
