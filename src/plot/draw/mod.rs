//! What figures are drawn with, from the paper up: [`canvas`] (shapes and text in pixels, over
//! plotters' SVG backend), [`axis`] (range, ticks, what lies beyond), [`panel`] (one metric's
//! column), [`body`] (one violin or half of one), [`shares`] (curves of shares), [`lane`] (something over time), [`page`] (title and
//! legend), [`png`] (SVG to PNG), [`slide`] (a page of 16 by 9). Nothing here must know which metric is drawn.

pub mod axis;
pub mod body;
pub mod canvas;
pub mod lane;
pub mod page;
pub mod panel;
pub mod png;
pub mod shares;
pub mod slide;
