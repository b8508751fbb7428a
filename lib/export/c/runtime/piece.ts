/** One function of the generated C and the others that it calls; all are static, and only what is called is written. */
export interface Piece {
  text: string;
  needs: readonly string[];
}
