import pytest
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.plotting import TrainingCurveDisplay


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_curves_are_those_of_the_training(X, quick):
    ae = quick(AutoencoderTransformer, early_stopping=True).fit(X)
    display = TrainingCurveDisplay.from_estimator(ae)
    training, validation = display.lines_
    assert training.get_ydata().tolist() == ae.loss_curve_
    assert validation.get_ydata().tolist() == ae.validation_loss_curve_
    assert training.get_xdata().tolist() == list(range(1, len(ae.loss_curve_) + 1))


def test_best_epoch_is_marked(fitted):
    display = TrainingCurveDisplay.from_estimator(fitted)
    assert display.best_line_.get_xdata() == [fitted.best_iter_] * 2
    assert display.best_line_.get_label() == f"best: epoch {fitted.best_iter_}"


def test_best_may_be_the_start():
    display = TrainingCurveDisplay(loss_curve=[2.0, 1.0], best_iter=0).plot()
    assert display.best_line_.get_label() == "best: before the first epoch"


def test_curve_of_a_pipeline_is_that_of_its_last_step(frame):
    mlp = MLPRegressor(tol=10.0, random_state=0)  # ends after ten epochs
    pipeline = make_pipeline(StandardScaler(), mlp).fit(frame, frame.iloc[:, 0])
    (line,) = TrainingCurveDisplay.from_estimator(pipeline).lines_
    assert line.get_ydata().tolist() == pipeline[-1].loss_curve_


def test_losses_may_be_on_a_logarithmic_scale():
    display = TrainingCurveDisplay(loss_curve=[100.0, 1.0]).plot(log_scale=True)
    assert display.ax_.get_yscale() == "log"


def test_negative_losses_have_no_logarithm():
    display = TrainingCurveDisplay(loss_curve=[1.0, -2.5])
    with pytest.raises(ValueError, match=r"the lowest is -2.5 .* log_scale=False"):
        display.plot(log_scale=True)


def test_no_epochs_make_no_curve(vae):
    with pytest.raises(ValueError, match=r"no epochs \(max_iter=0\)"):
        TrainingCurveDisplay.from_estimator(vae)


def test_estimator_without_a_curve(pca):
    with pytest.raises(TypeError, match="PCA has none"):
        TrainingCurveDisplay.from_estimator(pca)
