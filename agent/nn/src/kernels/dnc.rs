//! One step of the memory of a differentiable neural computer (Graves et al. 2016, Nature 538:471–476,
//! doi:10.1038/nature20101, Methods), lane by lane, with its gradient.
//!
//! Names follow the paper's words: usage u, write weights w, read weights r, precedence p, links L.

use multiversion::multiversion;

use super::addressing::{
    Found, LaneSizes, Lookup, MemorySizes, Saved, Write, WriteGradients, oneplus, oneplus_gradient,
    parts, parts_mut, read, read_gradient, row_norms, sigmoids, sigmoids_gradient, softmax,
    softmax_gradient, with_known_sizes,
};
use super::math::{add_scaled, dot, sum};

/// Usage is kept this far above 0 where free slots are chosen, as in the authors' code.
const USAGE_EPSILON: f32 = 1e-6;

/// Ways of a read head: backward along the links, by content, forward along the links.
const MODES: usize = 3;
const BACKWARD: usize = 0;
const CONTENT: usize = 1;
const FORWARD: usize = 2;

impl MemorySizes {
    /// Numbers of a lane's state: reads `[R, W]`, memory `[N, W]`, usage `[N]`, write weights `[N]`, read weights
    /// `[R, N]`, precedence `[N]`, links `[N, N]`. Zeros are the state before the first step.
    pub fn dnc_state_parts(self) -> [usize; 7] {
        let Self {
            slots: n,
            width: w,
            heads: r,
            ..
        } = self;
        [r * w, n * w, n, n, r * n, n, n * n]
    }

    /// Numbers of a lane's interface: read keys `[R, W]` and their strengths `[R]`, write key `[W]` and its strength,
    /// erase `[W]`, add `[W]`, free gates `[R]`, allocation gate, write gate, read modes `[R, 3]`.
    pub fn dnc_interface_parts(self) -> [usize; 10] {
        let (w, r) = (self.width, self.heads);
        [r * w, r, w, 1, w, w, r, 1, 1, MODES * r]
    }

    /// Numbers of a lane's trace: the interface after its activations, allocation, write content and its cosines, norms
    /// of the rows before and after the write; of each read head content and its cosines, backward and forward weights.
    fn dnc_trace_parts(self) -> [usize; 7] {
        let (n, r) = (self.slots, self.heads);
        let interface = self.dnc_interface_parts().iter().sum();
        [interface, n, n, n, n, n, 4 * r * n]
    }

    pub(crate) fn dnc_lane(self) -> LaneSizes {
        LaneSizes {
            state: self.dnc_state_parts().iter().sum(),
            interface: self.dnc_interface_parts().iter().sum(),
            trace: self.dnc_trace_parts().iter().sum(),
        }
    }
}

/// Computes the state after a step of every lane, and the trace that its backward pass needs. `after` and `before`
/// `[lanes, state]`, `trace` `[lanes, trace]`, `interface` `[lanes, interface]`.
#[multiversion(targets = "simd")]
pub(crate) fn dnc_step(
    (after, trace): (&mut [f32], &mut [f32]),
    before: &[f32],
    interface: &[f32],
    sizes: MemorySizes,
) {
    with_known_sizes!(sizes, step_lanes((after, trace), before, interface, sizes));
}

/// Computes the gradients of the state before a step and of the interface, from that of the state after it, which is
/// overwritten.
#[multiversion(targets = "simd")]
pub(crate) fn dnc_step_gradient(
    d: (&mut [f32], &mut [f32]),
    d_after: &mut [f32],
    saved: Saved<'_>,
    sizes: MemorySizes,
) {
    with_known_sizes!(sizes, gradient_lanes(d, d_after, saved, sizes));
}

/// Buffers for one lane's intermediate values.
struct Scratch {
    slots: [Vec<f32>; 4],
    row: Vec<f32>,
    order: Vec<usize>,
}

impl Scratch {
    fn new(sizes: MemorySizes) -> Self {
        Self {
            slots: std::array::from_fn(|_| vec![0.0; sizes.slots]),
            row: vec![0.0; sizes.width],
            order: (0..sizes.slots).collect(),
        }
    }
}

#[inline(always)]
fn step_lanes(
    (after, trace): (&mut [f32], &mut [f32]),
    before: &[f32],
    interface: &[f32],
    sizes: MemorySizes,
) {
    let lane = sizes.dnc_lane();
    let mut scratch = Scratch::new(sizes);
    let lanes = before
        .chunks_exact(lane.state)
        .zip(interface.chunks_exact(lane.interface));
    let results = after
        .chunks_exact_mut(lane.state)
        .zip(trace.chunks_exact_mut(lane.trace));
    for ((after, trace), (before, interface)) in results.zip(lanes) {
        step_lane((after, trace), before, interface, &mut scratch, sizes);
    }
}

#[inline(always)]
fn step_lane(
    (after, trace): (&mut [f32], &mut [f32]),
    before: &[f32],
    interface: &[f32],
    scratch: &mut Scratch,
    sizes: MemorySizes,
) {
    let [_, memory, usage, written, read_by, precedence, links] =
        parts(before, sizes.dnc_state_parts());
    let [
        words,
        memory_after,
        usage_after,
        writing,
        reading,
        precedence_after,
        links_after,
    ] = parts_mut(after, sizes.dnc_state_parts());
    let [
        control,
        allocation,
        content,
        cosines,
        norms,
        norms_after,
        of_heads,
    ] = parts_mut(trace, sizes.dnc_trace_parts());
    activate(control, interface, sizes);
    let control = Control::of(control, sizes);
    use_slots(usage_after, usage, written, read_by, control.free);
    allocate(
        allocation,
        usage_after,
        &mut scratch.order,
        &mut scratch.slots[0],
    );
    row_norms(norms, memory, sizes.width);
    control.write_lookup(memory, norms).weights(Found {
        weights: content,
        cosines,
    });
    for (writing, (allocation, content)) in writing.iter_mut().zip(allocation.iter().zip(&*content))
    {
        let mixed = control.allocate.mul_add(allocation - content, *content);
        *writing = control.write * mixed;
    }
    control.write_with(writing).apply(memory_after, memory);
    link(links_after, links, writing, precedence);
    precede(precedence_after, precedence, writing);
    row_norms(norms_after, memory_after, sizes.width);
    for (head, trace) in of_heads.chunks_exact_mut(4 * sizes.slots).enumerate() {
        let [content, cosines, backward, forward] = parts_mut(trace, [sizes.slots; 4]);
        control
            .read_lookup(head, memory_after, norms_after, sizes)
            .weights(Found {
                weights: content,
                cosines,
            });
        let of_head = sizes.head(head, sizes.slots);
        follow((backward, forward), links_after, &read_by[of_head.clone()]);
        let modes = &control.modes[sizes.head(head, MODES)];
        let reading = &mut reading[of_head];
        for (slot, weight) in reading.iter_mut().enumerate() {
            *weight = modes[BACKWARD] * backward[slot]
                + modes[CONTENT] * content[slot]
                + modes[FORWARD] * forward[slot];
        }
        read(
            &mut words[sizes.head(head, sizes.width)],
            reading,
            memory_after,
        );
    }
}

/// Applies the activations of the interface.
#[inline(always)]
fn activate(control: &mut [f32], interface: &[f32], sizes: MemorySizes) {
    control.copy_from_slice(interface);
    let lengths = sizes.dnc_interface_parts();
    let [
        _,
        strengths,
        _,
        write_strength,
        erase,
        _,
        free,
        allocate,
        write,
        modes,
    ] = parts_mut(control, lengths);
    for strength in strengths.iter_mut().chain(write_strength) {
        *strength = oneplus(*strength);
    }
    let [
        _,
        _,
        _,
        _,
        raw_erase,
        _,
        raw_free,
        raw_allocate,
        raw_write,
        _,
    ] = parts(interface, lengths);
    sigmoids(erase, raw_erase);
    sigmoids(free, raw_free);
    sigmoids(allocate, raw_allocate);
    sigmoids(write, raw_write);
    if !sizes.writes {
        write.fill(0.0);
    }
    modes.chunks_exact_mut(MODES).for_each(softmax);
}

/// The interface after its activations.
#[derive(Clone, Copy)]
struct Control<'a> {
    keys: &'a [f32],
    strengths: &'a [f32],
    write_key: &'a [f32],
    write_strength: f32,
    erase: &'a [f32],
    add: &'a [f32],
    free: &'a [f32],
    allocate: f32,
    write: f32,
    modes: &'a [f32],
}

impl<'a> Control<'a> {
    #[inline(always)]
    fn of(control: &'a [f32], sizes: MemorySizes) -> Self {
        let [
            keys,
            strengths,
            write_key,
            write_strength,
            erase,
            add,
            free,
            allocate,
            write,
            modes,
        ] = parts(control, sizes.dnc_interface_parts());
        Self {
            keys,
            strengths,
            write_key,
            write_strength: write_strength[0],
            erase,
            add,
            free,
            allocate: allocate[0],
            write: write[0],
            modes,
        }
    }

    #[inline(always)]
    fn write_lookup(self, memory: &'a [f32], norms: &'a [f32]) -> Lookup<'a> {
        Lookup {
            key: self.write_key,
            strength: self.write_strength,
            memory,
            norms,
            filled: None,
        }
    }

    #[inline(always)]
    fn read_lookup(
        self,
        head: usize,
        memory: &'a [f32],
        norms: &'a [f32],
        sizes: MemorySizes,
    ) -> Lookup<'a> {
        Lookup {
            key: &self.keys[sizes.head(head, sizes.width)],
            strength: self.strengths[head],
            memory,
            norms,
            filled: None,
        }
    }

    #[inline(always)]
    fn write_with(self, weights: &'a [f32]) -> Write<'a> {
        Write {
            weights,
            erase: self.erase,
            add: self.add,
        }
    }
}

/// Usage after the last step's write and the reads that free: `u' = (u + w − u ⊙ w) ⊙ Π (1 − f r)`.
#[inline(always)]
fn use_slots(after: &mut [f32], usage: &[f32], written: &[f32], read_by: &[f32], free: &[f32]) {
    for ((after, usage), written) in after.iter_mut().zip(usage).zip(written) {
        *after = usage + written - usage * written;
    }
    for (free, read_by) in free.iter().zip(read_by.chunks_exact(usage.len())) {
        for (after, read) in after.iter_mut().zip(read_by) {
            *after *= (-free).mul_add(*read, 1.0);
        }
    }
}

/// The share of a slot that is free.
#[inline(always)]
fn free_share(usage: f32) -> f32 {
    1.0 - (1.0 - USAGE_EPSILON).mul_add(usage, USAGE_EPSILON)
}

/// Orders slots by usage, the freest first and equal ones by their number. Writes the free share of each slot to `shares`.
#[inline(always)]
fn sort_by_usage(order: &mut [usize], shares: &mut [f32], usage: &[f32]) {
    for (slot, (share, usage)) in shares.iter_mut().zip(usage).enumerate() {
        *share = free_share(*usage);
        order[slot] = slot;
    }
    // Insertion sort: slots are few, and no slot passes an equal one.
    for sorted in 1..order.len() {
        let slot = order[sorted];
        let mut place = sorted;
        while place > 0 && shares[order[place - 1]] < shares[slot] {
            order[place] = order[place - 1];
            place -= 1;
        }
        order[place] = slot;
    }
}

/// Allocation weights: `a = (1 − u) Π u` of the freer slots.
#[inline(always)]
fn allocate(allocation: &mut [f32], usage: &[f32], order: &mut [usize], shares: &mut [f32]) {
    sort_by_usage(order, shares, usage);
    let mut all_used = 1.0;
    for &mut slot in order {
        allocation[slot] = shares[slot] * all_used;
        all_used *= 1.0 - shares[slot];
    }
}

/// Backward pass of [`allocate`]: adds to the gradient of usage. The order is constant.
#[inline(always)]
fn allocate_gradient(
    d_usage: &mut [f32],
    d: &[f32],
    usage: &[f32],
    (order, shares, all_used): (&mut [usize], &mut [f32], &mut [f32]),
) {
    sort_by_usage(order, shares, usage);
    let mut product = 1.0;
    for &slot in order.iter() {
        all_used[slot] = product;
        product *= 1.0 - shares[slot];
    }
    // Σ over the slots that are less free of their gradient, without the factors up to this slot.
    let mut later = 0.0;
    for &slot in order.iter().rev() {
        d_usage[slot] += (1.0 - USAGE_EPSILON) * all_used[slot] * (later - d[slot]);
        later = (1.0 - shares[slot]).mul_add(later, shares[slot] * d[slot]);
    }
}

/// `L'[i, j] = (1 − w[i] − w[j]) L[i, j] + w[i] p[j]` with a diagonal of zeros. `p` is the precedence before the step.
#[inline(always)]
fn link(after: &mut [f32], links: &[f32], writing: &[f32], precedence: &[f32]) {
    let slots = writing.len();
    let rows = after.chunks_exact_mut(slots).zip(links.chunks_exact(slots));
    for (i, (after, links)) in rows.enumerate() {
        let write = writing[i];
        let columns = links.iter().zip(writing.iter().zip(precedence));
        for (after, (link, (other, precedence))) in after.iter_mut().zip(columns) {
            *after = (1.0 - write - other).mul_add(*link, write * precedence);
        }
        after[i] = 0.0;
    }
}

/// `p' = (1 − Σ w) p + w`: the slot that was written last.
#[inline(always)]
fn precede(after: &mut [f32], before: &[f32], writing: &[f32]) {
    let left = 1.0 - sum(writing);
    for (after, (before, write)) in after.iter_mut().zip(before.iter().zip(writing)) {
        *after = left.mul_add(*before, *write);
    }
}

/// Backward pass of [`precede`].
#[inline(always)]
fn precede_gradient(
    (d_before, d_writing): (&mut [f32], &mut [f32]),
    d_after: &[f32],
    (before, writing): (&[f32], &[f32]),
) {
    let onward = dot(d_after, before);
    add_scaled(d_before, 1.0 - sum(writing), d_after);
    for (d, d_after) in d_writing.iter_mut().zip(d_after) {
        *d += d_after - onward;
    }
}

/// Follows the links from the slots that were read: `backward = Lᵀ r`, `forward = L r`.
#[inline(always)]
fn follow((backward, forward): (&mut [f32], &mut [f32]), links: &[f32], read_by: &[f32]) {
    backward.fill(0.0);
    let rows = links.chunks_exact(read_by.len()).zip(read_by);
    for ((row, weight), forward) in rows.zip(forward) {
        add_scaled(backward, *weight, row);
        *forward = dot(row, read_by);
    }
}

#[inline(always)]
fn gradient_lanes(
    (d_before, d_interface): (&mut [f32], &mut [f32]),
    d_after: &mut [f32],
    saved: Saved<'_>,
    sizes: MemorySizes,
) {
    let of_lane = sizes.dnc_lane();
    let mut scratch = Scratch::new(sizes);
    let gradients = d_before
        .chunks_exact_mut(of_lane.state)
        .zip(d_interface.chunks_exact_mut(of_lane.interface));
    let lanes = gradients.zip(d_after.chunks_exact_mut(of_lane.state));
    for (lane, (d, d_after)) in lanes.enumerate() {
        let saved = saved.lane(lane, of_lane);
        gradient_lane(d, d_after, saved, &mut scratch, sizes);
    }
}

/// Adds to the gradients of one lane, which begin with zeros.
#[inline(always)]
fn gradient_lane(
    (d_before, d_interface): (&mut [f32], &mut [f32]),
    d_after: &mut [f32],
    saved: Saved<'_>,
    scratch: &mut Scratch,
    sizes: MemorySizes,
) {
    reads_gradient(
        (&mut *d_before, &mut *d_interface),
        d_after,
        saved,
        scratch,
        sizes,
    );
    let [_, d_memory, _, _, _, d_precedence, d_links] =
        parts_mut(d_before, sizes.dnc_state_parts());
    let [
        _,
        d_memory_after,
        d_usage,
        d_writing,
        _,
        d_precedence_after,
        d_links_after,
    ] = parts_mut(d_after, sizes.dnc_state_parts());
    let [_, memory, _, _, _, precedence, links] = parts(saved.before, sizes.dnc_state_parts());
    let [_, _, usage, writing, ..] = parts(saved.after, sizes.dnc_state_parts());
    let [control, allocation, content, cosines, norms, ..] =
        parts(saved.trace, sizes.dnc_trace_parts());
    let control = Control::of(control, sizes);
    let [
        _,
        _,
        d_key,
        d_strength,
        d_erase,
        d_add,
        _,
        d_allocate,
        d_write,
        _,
    ] = parts_mut(d_interface, sizes.dnc_interface_parts());

    precede_gradient(
        (&mut *d_precedence, &mut *d_writing),
        d_precedence_after,
        (precedence, writing),
    );
    link_gradient(
        (d_links, &mut *d_writing, d_precedence),
        d_links_after,
        (links, writing, precedence),
    );
    let d_operands = WriteGradients {
        memory: &mut *d_memory,
        weights: &mut *d_writing,
        erase: d_erase,
        add: d_add,
    };
    let write = control.write_with(writing);
    let Scratch { slots, row, order } = scratch;
    let [shares, all_used, d_content, d_allocation] = slots;
    write.gradient(d_operands, d_memory_after, memory, row);

    // writing = write (content + allocate (allocation − content))
    let (by_content, by_allocation) = (dot(d_writing, content), dot(d_writing, allocation));
    let difference = by_allocation - by_content;
    if sizes.writes {
        d_write[0] = control.allocate.mul_add(difference, by_content);
        d_allocate[0] = control.write * difference;
    }
    for (slot, d) in d_writing.iter().enumerate() {
        d_allocation[slot] = control.write * control.allocate * d;
        d_content[slot] = control.write * (1.0 - control.allocate) * d;
    }
    let lookup = control.write_lookup(memory, norms);
    d_strength[0] = lookup.gradient((d_key, d_memory), d_content, content, cosines);
    allocate_gradient(d_usage, d_allocation, usage, (order, shares, all_used));
    usage_gradient((d_before, d_interface), d_after, saved, sizes);
    activate_gradient(d_interface, saved, sizes);
}

/// Backward pass of the reads: adds to the gradients of the read weights before the step and of the interface, and, in
/// `d_after`, to those of memory and links after it.
#[inline(always)]
fn reads_gradient(
    (d_before, d_interface): (&mut [f32], &mut [f32]),
    d_after: &mut [f32],
    saved: Saved<'_>,
    scratch: &mut Scratch,
    sizes: MemorySizes,
) {
    let slots = sizes.slots;
    let [_, _, _, _, d_read_by, _, _] = parts_mut(d_before, sizes.dnc_state_parts());
    let [d_words, d_memory, _, _, d_reading, _, d_links] =
        parts_mut(d_after, sizes.dnc_state_parts());
    let [_, _, _, _, read_by, _, _] = parts(saved.before, sizes.dnc_state_parts());
    let [_, memory, _, _, reading, _, links] = parts(saved.after, sizes.dnc_state_parts());
    let [control, _, _, _, _, norms, of_heads] = parts(saved.trace, sizes.dnc_trace_parts());
    let control = Control::of(control, sizes);
    let [d_keys, d_strengths, _, _, _, _, _, _, _, d_modes] =
        parts_mut(d_interface, sizes.dnc_interface_parts());
    for (head, trace) in of_heads.chunks_exact(4 * slots).enumerate() {
        let [content, cosines, backward, forward] = parts(trace, [slots; 4]);
        let (of_slots, of_word) = (sizes.head(head, slots), sizes.head(head, sizes.width));
        let d_reading = &mut d_reading[of_slots.clone()];
        let d_word = &d_words[of_word.clone()];
        read_gradient(
            (d_reading, d_memory),
            d_word,
            &reading[of_slots.clone()],
            memory,
        );
        let modes = &control.modes[sizes.head(head, MODES)];
        let d_modes = &mut d_modes[sizes.head(head, MODES)];
        d_modes[BACKWARD] = dot(d_reading, backward);
        d_modes[CONTENT] = dot(d_reading, content);
        d_modes[FORWARD] = dot(d_reading, forward);
        let [d_backward, d_forward, d_content, _] = &mut scratch.slots;
        for (slot, d) in d_reading.iter().enumerate() {
            d_backward[slot] = modes[BACKWARD] * d;
            d_content[slot] = modes[CONTENT] * d;
            d_forward[slot] = modes[FORWARD] * d;
        }
        let lookup = control.read_lookup(head, memory, norms, sizes);
        let d_operands = (&mut d_keys[of_word], &mut *d_memory);
        d_strengths[head] = lookup.gradient(d_operands, d_content, content, cosines);
        follow_gradient(
            (&mut *d_links, &mut d_read_by[of_slots.clone()]),
            (d_backward, d_forward),
            links,
            &read_by[of_slots],
        );
    }
}

/// Backward pass of [`follow`].
#[inline(always)]
fn follow_gradient(
    (d_links, d_read_by): (&mut [f32], &mut [f32]),
    (d_backward, d_forward): (&[f32], &[f32]),
    links: &[f32],
    read_by: &[f32],
) {
    let slots = read_by.len();
    let rows = links
        .chunks_exact(slots)
        .zip(d_links.chunks_exact_mut(slots));
    for (i, (row, d_row)) in rows.enumerate() {
        add_scaled(d_row, read_by[i], d_backward);
        add_scaled(d_row, d_forward[i], read_by);
        d_read_by[i] += dot(row, d_backward);
        add_scaled(d_read_by, d_forward[i], row);
    }
}

/// Backward pass of [`link`]. Clears the diagonal of `d_after`.
#[inline(always)]
fn link_gradient(
    (d_links, d_writing, d_precedence): (&mut [f32], &mut [f32], &mut [f32]),
    d_after: &mut [f32],
    (links, writing, precedence): (&[f32], &[f32], &[f32]),
) {
    let slots = writing.len();
    let rows = links
        .chunks_exact(slots)
        .zip(d_links.chunks_exact_mut(slots));
    for (i, (d_after, (links, d_links))) in d_after.chunks_exact_mut(slots).zip(rows).enumerate() {
        d_after[i] = 0.0;
        let write = writing[i];
        add_scaled(d_precedence, write, d_after);
        d_writing[i] += dot(d_after, precedence) - dot(d_after, links);
        for j in 0..slots {
            d_links[j] = (1.0 - write - writing[j]) * d_after[j];
            d_writing[j] -= d_after[j] * links[j];
        }
    }
}

/// Backward pass of [`use_slots`]. The write weights are constants there, as in the authors' code.
#[inline(always)]
fn usage_gradient(
    (d_before, d_interface): (&mut [f32], &mut [f32]),
    d_after: &[f32],
    saved: Saved<'_>,
    sizes: MemorySizes,
) {
    let [_, _, d_usage, _, d_read_by, ..] = parts_mut(d_before, sizes.dnc_state_parts());
    let [_, _, d_usage_after, ..] = parts(d_after, sizes.dnc_state_parts());
    let [_, _, usage, written, read_by, ..] = parts(saved.before, sizes.dnc_state_parts());
    let free = Control::of(&saved.trace[..saved.interface.len()], sizes).free;
    let [_, _, _, _, _, _, d_free, ..] = parts_mut(d_interface, sizes.dnc_interface_parts());
    let kept = |head: usize, slot: usize| 1.0 - free[head] * read_by[head * sizes.slots + slot];
    for (slot, (d, d_usage)) in d_usage_after.iter().zip(d_usage).enumerate() {
        let used = usage[slot] + written[slot] - usage[slot] * written[slot];
        let mut kept_by_all = 1.0;
        for head in 0..sizes.heads {
            kept_by_all *= kept(head, slot);
            let mut d_kept = d * used;
            for other in (0..sizes.heads).filter(|other| *other != head) {
                d_kept *= kept(other, slot);
            }
            d_free[head] -= d_kept * read_by[head * sizes.slots + slot];
            d_read_by[head * sizes.slots + slot] -= d_kept * free[head];
        }
        *d_usage += d * kept_by_all * (1.0 - written[slot]);
    }
}

/// Backward pass of [`activate`], in place.
#[inline(always)]
fn activate_gradient(d_interface: &mut [f32], saved: Saved<'_>, sizes: MemorySizes) {
    let lengths = sizes.dnc_interface_parts();
    let [_, strengths, _, write_strength, ..] = parts(saved.interface, lengths);
    let [_, _, _, _, erase, _, free, allocate, write, modes] =
        parts(&saved.trace[..saved.interface.len()], lengths);
    let [
        _,
        d_strengths,
        _,
        d_write_strength,
        d_erase,
        _,
        d_free,
        d_allocate,
        d_write,
        d_modes,
    ] = parts_mut(d_interface, lengths);
    oneplus_gradient(d_strengths, strengths);
    oneplus_gradient(d_write_strength, write_strength);
    sigmoids_gradient(d_erase, erase);
    sigmoids_gradient(d_free, free);
    sigmoids_gradient(d_allocate, allocate);
    sigmoids_gradient(d_write, write);
    for (d, modes) in d_modes
        .chunks_exact_mut(MODES)
        .zip(modes.chunks_exact(MODES))
    {
        softmax_gradient(d, modes);
    }
}
