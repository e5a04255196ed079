//! A histogram over time as cells: a column a step, a row a bucket, the shade by how many measurements.

use std::fmt::Write as _;

use api::MetricSeries;

use super::plot::Frame;

/// Shades of cells; those of the style are `heat-0` to `heat-6`.
pub(crate) const SHADES: usize = 7;

/// Edges of the buckets, for the frame around them. One that is open above ends half as high again as the highest edge; one that is
/// open below begins at nothing. Zero stands at the foot and is left out, so that the rest may take a logarithmic scale.
pub(crate) fn edges(series: &[MetricSeries]) -> Vec<Option<f64>> {
    let known =
        || series.iter().filter_map(|series| series.band.as_ref()).flat_map(|band| [band.from, band.to]).flatten();
    let highest = known().fold(f64::NEG_INFINITY, f64::max);
    let is_open = series.iter().any(|series| series.band.as_ref().is_some_and(|band| band.to.is_none()));
    let above = (is_open && highest.is_finite()).then_some(if highest > 0.0 { highest * 1.5 } else { 1.0 });
    known().filter(|edge| *edge != 0.0).chain(above).map(Some).collect()
}

/// The cells of each shade as one path each, empty cells left out; and the most measurements of a cell.
pub(crate) fn cells(series: &[MetricSeries], frame: &Frame) -> ([String; SHADES], f64) {
    let most = series.iter().flat_map(|series| series.values.iter().flatten()).copied().fold(0.0, f64::max);
    let mut paths: [String; SHADES] = Default::default();
    for series in series {
        let Some(band) = &series.band else { continue };
        let (top, foot) = (frame.y(band.to.unwrap_or(frame.most)), frame.y(band.from.unwrap_or(frame.least)));
        // A bucket without height, such as that of zero, is still seen.
        let (top, high) = if foot - top < 1.5 { (foot - 3.0, 3.0) } else { (top, foot - top) };
        let wide = frame.width / series.values.len().max(1) as f64;
        for (step, value) in series.values.iter().enumerate() {
            let Some(count) = value.filter(|count| *count > 0.0) else { continue };
            // Few measurements must be told from none: the square root.
            let shade = ((count / most).sqrt() * SHADES as f64).ceil() as usize;
            let path = &mut paths[shade.clamp(1, SHADES) - 1];
            let x = frame.left + step as f64 * wide;
            let _ = write!(path, "M{x:.1},{top:.1}h{wide:.1}v{high:.1}h-{wide:.1}z");
        }
    }
    (paths, most)
}

#[cfg(test)]
mod tests {
    use api::MetricBand;

    use super::*;

    fn band(from: Option<f64>, to: Option<f64>, values: &[Option<f64>]) -> MetricSeries {
        MetricSeries { band: Some(MetricBand { from, to }), values: values.to_vec(), ..MetricSeries::default() }
    }

    /// The fullest cell is darkest, an empty one is not there, and open ends reach the edges of the picture.
    #[test]
    fn shades_follow_the_counts() {
        let all = [
            band(None, Some(1.0), &[Some(100.0), None]),
            band(Some(1.0), Some(2.0), &[Some(0.0), Some(1.0)]),
            band(Some(2.0), None, &[Some(25.0), Some(100.0)]),
        ];
        let values = edges(&all);
        assert_eq!(values.iter().flatten().copied().fold(0.0, f64::max), 3.0);
        let frame = Frame { left: 0.0, top: 0.0, width: 100.0, height: 60.0, least: 0.0, most: 3.0, is_log: false };
        let (paths, most) = cells(&all, &frame);
        assert_eq!(most, 100.0);
        assert_eq!(paths[6], "M0.0,40.0h50.0v20.0h-50.0zM50.0,0.0h50.0v20.0h-50.0z");
        assert_eq!(paths[3], "M0.0,0.0h50.0v20.0h-50.0z");
        assert_eq!(paths[0], "M50.0,20.0h50.0v20.0h-50.0z");
        assert!(cells(&[], &frame).0.iter().all(String::is_empty) && edges(&[]).is_empty());
    }

    #[test]
    fn the_bucket_of_zero_is_seen() {
        let frame = Frame { left: 0.0, top: 0.0, width: 10.0, height: 60.0, least: 0.0, most: 3.0, is_log: false };
        assert_eq!(cells(&[band(Some(0.0), Some(0.0), &[Some(1.0)])], &frame).0[6], "M0.0,57.0h10.0v3.0h-10.0z");
    }
}
