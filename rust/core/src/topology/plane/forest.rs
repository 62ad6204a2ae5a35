//! The two passes over a filtration's critical edges, and what its bars and image pairs are.

use super::merge::{Joint, NEVER, join, labels};
use super::space::{Kind, Plane, Space};
use crate::error::Result;
use crate::job::Job;
use crate::topology::{Bar, Rule};

/// What a pass carries along besides its own elders.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Carry {
    /// Nothing.
    Nothing,
    /// One other elder per component. An image pair is the cell that loses this title, and the basin that dies.
    One(Rule),
    /// Two, for the comparison image. An image pair is the two cells that lose their titles.
    Two(Rule),
}

impl Space {
    /// Joins the basins of the kind `first`, which carries labels, and those of the other kind at the edges left over.
    pub fn join(&mut self, first: Kind, carry: Carry, wanted: [bool; 2], job: &Job) -> Result<()> {
        let (mut edges, mut left) = (std::mem::take(&mut self.order), std::mem::take(&mut self.spare));
        if first == Kind::Square {
            job.reverse(&mut edges)?;
        }
        self.image.clear();
        for (kind, carry) in [(first, carry), (first.other(), Carry::Nothing)] {
            if wanted[kind as usize] {
                match kind {
                    Kind::Vertex => self.pass::<false>(kind, &edges, &mut left, carry, job)?,
                    Kind::Square => self.pass::<true>(kind, &edges, &mut left, carry, job)?,
                }
                std::mem::swap(&mut edges, &mut left);
            } else {
                job.reverse(&mut edges)?;
            }
        }
        (self.order, self.spare) = (edges, left);
        Ok(())
    }

    fn pass<const SQUARES: bool>(
        &mut self,
        kind: Kind,
        edges: &[u64],
        left: &mut Vec<u64>,
        carry: Carry,
        job: &Job,
    ) -> Result<()> {
        let Self { basins, forest, labels: [one, two], partners, image, .. } = self;
        let (basins, partners) = (&basins[kind as usize], &mut partners[kind as usize]);
        partners.clear();
        job.resize(partners, basins.cells.len(), NEVER)?;
        let mut own = |joint: Joint| {
            if joint.real {
                partners[joint.younger] = joint.edge;
            }
        };
        let lose = |label: &mut Vec<u64>, joint: Joint| {
            let (stays, gone) = labels(kind, label[joint.elder], label[joint.younger]);
            label[joint.elder] = stays;
            gone
        };
        // Whether the bar between a cell and the edge is not empty.
        let lasts = |gone: u64, key: u32| if SQUARES { (gone >> 32) as u32 > key } else { ((gone >> 32) as u32) < key };
        match carry {
            Carry::Nothing => join::<SQUARES>(edges, basins, forest, left, job, own),
            Carry::One(rule) => join::<SQUARES>(edges, basins, forest, left, job, |joint| {
                own(joint);
                let gone = lose(one, joint);
                if joint.real && (rule == Rule::Refined || lasts(gone, joint.key)) {
                    image.push([gone as u32, joint.younger as u32]);
                }
            }),
            Carry::Two(rule) => join::<SQUARES>(edges, basins, forest, left, job, |joint| {
                let (gone_f, gone_g) = (lose(one, joint), lose(two, joint));
                let good = match rule {
                    Rule::Refined => joint.real,
                    Rule::Strict => lasts(gone_f, joint.key) && lasts(gone_g, joint.key),
                };
                if good {
                    image.push([gone_f as u32, gone_g as u32]);
                }
            }),
        }
    }

    /// The bars of a kind in the order of its cells, and these cells; basins know the places of their bars from now on.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub fn bars(&mut self, plane: &Plane, kind: Kind, job: &Job) -> Result<(Vec<Bar>, Vec<u32>)> {
        let (mut bars, mut found) = (Vec::new(), Vec::new());
        let (partners, cells) = (&mut self.partners[kind as usize], &self.basins[kind as usize].cells);
        job.sweep(cells.len(), |piece| {
            for (partner, &cell) in partners[piece.clone()].iter_mut().zip(&cells[piece]) {
                if *partner != NEVER {
                    let (edge, cell_of_image) = (plane.edge(self.edges[*partner as usize]), plane.cell(cell));
                    *partner = bars.len() as u32;
                    bars.push(match kind {
                        Kind::Vertex => Bar { birth: cell_of_image, death: edge },
                        Kind::Square => Bar { birth: edge, death: cell_of_image },
                    });
                    found.push(cell);
                }
            }
        })?;
        Ok((bars, found))
    }
}

impl Kind {
    /// Squares for vertices, vertices for squares.
    pub const fn other(self) -> Self {
        match self {
            Self::Vertex => Self::Square,
            Self::Square => Self::Vertex,
        }
    }
}
