// A token bucket: rate a second, and as many at once after a quiet second.
export class Limit {
  constructor(rate) {
    Object.assign(this, { rate, left: rate, at: performance.now() });
  }

  /** 0: go on. Else the seconds to wait. */
  take() {
    const now = performance.now();
    this.left = Math.min(this.rate, this.left + ((now - this.at) / 1000) * this.rate);
    this.at = now;
    if (this.left < 1) return (1 - this.left) / this.rate;
    this.left -= 1;
    return 0;
  }
}
