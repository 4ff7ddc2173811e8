// A text on its way to tokens: units of UTF-16, each with the place that it has in the original.

export interface Placed {
  units: string;
  /** Of each unit, where its source begins and ends. */
  starts: number[];
  ends: number[];
}

export function createPlaced(): Placed & { add(text: string, start: number, end: number): void } {
  return {
    units: '',
    starts: [],
    ends: [],
    add(text, start, end) {
      this.units += text;
      for (let i = 0; i < text.length; i++) {
        this.starts.push(start);
        this.ends.push(end);
      }
    },
  };
}
