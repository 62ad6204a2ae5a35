//! A tree of points in the plane from which points are taken.

use super::Point;

/// Points, each to be taken once.
pub struct Tree<'a> {
    points: &'a [Point],
    /// The tree's nodes are the middles of ranges of this list, halved again and again.
    order: Vec<u32>,
    there: Vec<bool>,
    /// How many points are there in the range that a node is the middle of.
    count: Vec<u32>,
}

impl<'a> Tree<'a> {
    /// A tree of some of the points.
    pub fn new(points: &'a [Point], mut members: Vec<u32>) -> Self {
        let mut count = vec![0; members.len()];
        arrange(points, &mut members, &mut count, 0);
        Self { points, there: vec![true; members.len()], order: members, count }
    }

    /// Takes a point whose coordinates both differ from those of `x` by at most `radius`.
    pub fn take(&mut self, x: Point, radius: f64) -> Option<u32> {
        self.descend(0, self.order.len(), 0, x, radius)
    }

    fn descend(&mut self, low: usize, high: usize, axis: usize, x: Point, radius: f64) -> Option<u32> {
        let middle = usize::midpoint(low, high);
        if low == high || self.count[middle] == 0 {
            return None;
        }
        let node = self.order[middle];
        let y = self.points[node as usize];
        let mut found = None;
        if self.there[middle] && (0..2).all(|k| (x[k] - y[k]).abs() <= radius) {
            self.there[middle] = false;
            found = Some(node);
        }
        // Smaller coordinates are to the left; the differences rise with the distance, rounded or not.
        if found.is_none() && x[axis] - y[axis] <= radius {
            found = self.descend(low, middle, 1 - axis, x, radius);
        }
        if found.is_none() && y[axis] - x[axis] <= radius {
            found = self.descend(middle + 1, high, 1 - axis, x, radius);
        }
        self.count[middle] -= u32::from(found.is_some());
        found
    }
}

fn arrange(points: &[Point], members: &mut [u32], count: &mut [u32], axis: usize) {
    if members.is_empty() {
        return;
    }
    let middle = members.len() / 2;
    members.select_nth_unstable_by(middle, |&i, &j| {
        points[i as usize][axis].total_cmp(&points[j as usize][axis]).then(i.cmp(&j))
    });
    count[middle] = members.len() as u32;
    let (left, right) = members.split_at_mut(middle);
    let (left_count, right_count) = count.split_at_mut(middle);
    arrange(points, left, left_count, 1 - axis);
    arrange(points, &mut right[1..], &mut right_count[1..], 1 - axis);
}
